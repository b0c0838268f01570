#include "coordinator/service/start_models.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/data/files.h"
#include "core/data/hf/hf_model.h"
#include "core/service/text_file.h"
#include "core/store/file_copies.h"

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

constexpr std::size_t kSumsBytesMax = 4 << 20;
constexpr std::size_t kHexDigits = 64;

Unexpected damaged(const std::string& folder, const std::string& why) {
  const std::string name = std::filesystem::path(folder).filename().string();
  return unexpected(ErrorCode::kCorrupted, folder + ": " + why + "; remove it with `covey models --remove " + name +
                                               "` and import it again");
}

Result<std::string> line_of(const std::string& folder, const std::string& name) {
  COVEY_TRY(const CopiedFile file, hash_of_file(folder + "/" + name));
  return hex(file.hash.span()) + "  " + name + "\n";
}

// The name in a line of the sums; empty for what is no such line. A name with a folder in it would lead outside.
std::string name_in(std::string_view line) {
  if (line.size() <= kHexDigits + 2 || line.substr(kHexDigits, 2) != "  ") return "";
  const std::string_view name = line.substr(kHexDigits + 2);
  return name.find('/') == std::string_view::npos && name.front() != '.' ? std::string(name) : "";
}

Result<void> check_line(const std::string& folder, const std::string& line, const std::string& name) {
  const auto found = line_of(folder, name);
  if (!found && found.error().code == ErrorCode::kNotFound)
    return damaged(folder, name + " is missing, which " + kStartSumsFile + " names");
  if (!found) return unexpected(found.error());
  if (*found != line + "\n") return damaged(folder, name + " has other bytes than `covey import` wrote: it is damaged, or was changed");
  return {};
}

// What would be read although nothing vouches for it.
Result<void> check_all_named(const std::string& folder, const std::set<std::string>& named) {
  if (!named.contains("config.json")) return damaged(folder, std::string(kStartSumsFile) + " does not name config.json");
  COVEY_TRY(const FileList list, list_files(folder));
  for (const FoundFile& file : list.files)
    if ((file.relative.ends_with(".safetensors") || file.relative == kModelIndexFile) && !named.contains(file.relative))
      return damaged(folder, file.relative + " is not among the files that `covey import` wrote");
  return {};
}

}  // namespace

Result<void> write_start_sums(const std::string& folder) {
  COVEY_TRY(const FileList list, list_files(folder));
  std::string text;
  for (const FoundFile& file : list.files) {
    COVEY_TRY(const std::string line, line_of(folder, file.relative));
    text += line;
  }
  return write_file(folder + "/" + kStartSumsFile, bytes_of(text));
}

Result<StartSums> check_start_sums(const std::string& folder) {
  const auto bytes = read_file(folder + "/" + kStartSumsFile, kSumsBytesMax);
  if (!bytes && bytes.error().code == ErrorCode::kNotFound) return StartSums::kNone;
  if (!bytes) return unexpected(bytes.error());
  std::set<std::string> named;
  std::string_view text = text_of(*bytes);
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string line(text.substr(0, end)), name = name_in(line);
    if (end == std::string_view::npos || name.empty() || !named.insert(name).second)
      return damaged(folder, "line " + std::to_string(named.size() + 1) + " of " + kStartSumsFile + " is no sum of a file");
    COVEY_TRY_VOID(check_line(folder, line, name));
    text.remove_prefix(end + 1);
  }
  COVEY_TRY_VOID(check_all_named(folder, named));
  return StartSums::kMatch;
}

Result<ParameterReader> open_start(const std::string& models, const JobSpec& job, Log& log) {
  const std::string folder = models + "/" + job.start;
  const std::string what = "model.start = \"" + job.start + "\"";
  std::error_code code;
  if (!std::filesystem::is_directory(folder, code))
    return unexpected(ErrorCode::kNotFound, what + ": the coordinator holds no such model, " + names_in(models) +
                                                "; bring it with `covey import`, on the coordinator's machine");
  const auto sums = check_start_sums(folder);
  if (!sums) return unexpected(in_context(what, sums.error()));
  auto reader = open_base(folder, job.model);
  if (!reader) return unexpected(in_context(what, reader.error()));
  if (*sums == StartSums::kNone)
    log.warning("start_unverified", {{"model", job.start},
                                     {"reason", "it has no " + std::string(kStartSumsFile) +
                                                    ", an earlier version imported it: damage to it would not be seen; import it again"}});
  return ParameterReader(std::move(*reader));
}

}  // namespace covey
