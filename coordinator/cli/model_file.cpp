#include "coordinator/cli/model_file.h"

#include <filesystem>

#include "core/data/safetensors.h"
#include "core/service/text_file.h"

namespace covey::cli {
namespace {

constexpr std::size_t kModelFileBytesMax = std::size_t{1} << 34U;

// A model's job: in the file's metadata, else in job.toml beside it.
Result<JobSpec> spec_of_file(const SafetensorsFile& file, const std::string& path) {
  const auto own = file.metadata.find("covey.job_toml");
  if (own != file.metadata.end()) return parse_job(own->second);
  const std::string beside = (std::filesystem::path(path).parent_path() / "job.toml").string();
  auto toml = read_file(beside, 64 * 1024);
  if (!toml)
    return unexpected(in_context(path + " does not say which model it holds, and there is no job file beside "
                                        "it; use a folder that `covey pull` made",
                                 toml.error()));
  return parse_job(text_of(*toml));
}

}  // namespace

Result<LoadedModel> load_model(const std::string& where) {
  std::error_code code;
  const std::string path = std::filesystem::is_directory(where, code) ? where + "/model.safetensors" : where;
  COVEY_TRY(const Bytes bytes, read_file(path, kModelFileBytesMax));
  auto file = from_safetensors(bytes);
  if (!file) return unexpected(in_context(path, file.error()));
  auto spec = spec_of_file(*file, path);
  if (!spec) return unexpected(in_context(path, spec.error()));
  auto parameters = parameters_from(*file, parameter_table(spec->model));
  if (!parameters) return unexpected(in_context(path, parameters.error()));
  return LoadedModel{std::move(*spec), std::move(*parameters)};
}

}  // namespace covey::cli
