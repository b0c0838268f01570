#include "coordinator/service/start_models.h"

#include <algorithm>
#include <filesystem>

#include "core/data/hf/hf_model.h"

namespace covey {
namespace {

std::string names_in(const std::string& models) {
  std::vector<std::string> names;
  std::error_code code;
  for (std::filesystem::directory_iterator at(models, code), end; !code && at != end; at.increment(code))
    if (at->is_directory(code) && !at->path().filename().string().ends_with(".partial"))
      names.push_back(at->path().filename().string());
  if (names.empty()) return "there is none yet";
  std::sort(names.begin(), names.end());
  std::string text = "there are";
  for (const std::string& name : names) text += " " + name;
  return text;
}

}  // namespace

Result<ParameterReader> open_start(const std::string& models, const JobSpec& job) {
  const std::string folder = models + "/" + job.start;
  const std::string what = "model.start = \"" + job.start + "\"";
  std::error_code code;
  if (!std::filesystem::is_directory(folder, code))
    return unexpected(ErrorCode::kNotFound, what + ": the coordinator holds no such model, " + names_in(models) +
                                                "; bring it with `covey import`, on the coordinator's machine");
  auto reader = open_base(folder, job.model);
  if (!reader) return unexpected(in_context(what, reader.error()));
  return ParameterReader(std::move(*reader));
}

}  // namespace covey
