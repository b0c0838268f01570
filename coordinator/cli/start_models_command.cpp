// covey models: the models that `covey import` brought, for jobs to start from; and taking one away.
#include <algorithm>
#include <filesystem>

#include "client/tokenizer_file.h"
#include "coordinator/cli/commands.h"
#include "coordinator/service/home.h"
#include "coordinator/service/start_models.h"
#include "core/base/file.h"
#include "core/data/hf/hf_model.h"
#include "core/service/exit_code.h"

namespace covey::cli {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> names_in(const std::string& models) {
  std::vector<std::string> names;
  std::error_code code;
  for (fs::directory_iterator at(models, code), end; !code && at != end; at.increment(code))
    if (at->is_directory(code) && !at->path().filename().string().ends_with(".partial")) names.push_back(at->path().filename().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::uint64_t bytes_in(const std::string& folder) {
  std::uint64_t bytes = 0;
  std::error_code code;
  for (fs::directory_iterator at(folder, code), end; !code && at != end; at.increment(code))
    if (at->is_regular_file(code)) bytes += at->file_size(code);
  return bytes;
}

struct Imported {
  std::string style, text;  // the text: its size in layers, or why it cannot be read
  std::uint64_t parameters = 0;
  std::string tokenizer_sha256;
};
Result<Imported> look_at(const std::string& folder) {
  COVEY_TRY(const StartSums sums, check_start_sums(folder));
  COVEY_TRY(const HfFolder opened, HfFolder::open(folder));
  COVEY_TRY(const ModelSpec spec, model_spec_of(opened.config(), kContextDefault));
  Imported found;
  found.style = name_of(spec.style);
  found.text = std::to_string(spec.layers) + " x " + std::to_string(spec.width) + ", vocabulary " + std::to_string(spec.vocabulary);
  if (sums == StartSums::kNone) found.text += " (no " + std::string(kStartSumsFile) + ": imported by an earlier version, its bytes are not verified)";
  found.parameters = parameter_table(spec).size;
  const std::string tokenizer = tokenizer_path("", folder);
  if (tokenizer.empty()) return found;
  COVEY_TRY(const TokenizerFile file, read_tokenizer(tokenizer));
  found.tokenizer_sha256 = file.sha256;
  return found;
}

// Not a model's name any more at once, then gone: a job that begins meanwhile finds it whole or not at all.
Result<void> remove_model(const std::string& models, const std::string& name) {
  const std::vector<std::string> names = names_in(models);
  if (std::find(names.begin(), names.end(), name) == names.end())
    return unexpected(ErrorCode::kNotFound, "--remove " + name + ": there is no such model; `covey models` lists them");
  const auto lock = FolderLock::take(models);
  if (!lock) return unexpected(in_context("another `covey import`, or `covey models --remove`, is at work there", lock.error()));
  const std::string folder = models + "/" + name, going = folder + ".partial";
  std::error_code code;
  fs::remove_all(going, code);
  COVEY_TRY_VOID(rename_file(folder, going));
  fs::remove_all(going, code);
  if (code) return unexpected(system_error_of(code.value(), going));
  return sync_folder(models);
}

}  // namespace

Result<int> models_command(const ModelsOptions& options, Console& console) {
  const std::string coordinator = coordinator_folder(options.home), models = coordinator + "/" + kStartModelsFolder;
  std::error_code code;
  if (!fs::is_directory(coordinator, code))
    return unexpected(ErrorCode::kNotFound, coordinator + " does not exist: models are on the coordinator's machine, in its --home");
  if (!options.remove.empty()) {
    COVEY_TRY_VOID(remove_model(models, options.remove));
    console.object(JsonObject().add("event", "removed").add("name", options.remove));
    console.line("Removed " + options.remove + ". Jobs that have begun keep their model; one that waits to start from it will fail.");
    return kExitOk;
  }
  Table table({"name", "style", "model", "parameters", "size", "tokenizer (SHA-256)"}, {3, 4});
  for (const std::string& name : names_in(models)) {
    const auto found = look_at(models + "/" + name);
    const std::uint64_t bytes = bytes_in(models + "/" + name);
    const Imported imported = found ? *found : Imported{"", "cannot be read: " + found.error().message, 0, ""};
    console.object(JsonObject()
                       .add("name", name)
                       .add("style", imported.style)
                       .add("parameters", imported.parameters)
                       .add("bytes", bytes)
                       .add("tokenizer_sha256", imported.tokenizer_sha256)
                       .add("text", imported.text));
    table.add({one_line(name), imported.style, one_line(imported.text), found ? std::to_string(imported.parameters) : "-", bytes_text(bytes),
               imported.tokenizer_sha256.empty() ? "-" : imported.tokenizer_sha256.substr(0, 16)});
  }
  if (table.empty())
    console.note("no model was imported yet; bring one with `covey import FOLDER --name NAME`");
  else
    console.table(table);
  return kExitOk;
}

}  // namespace covey::cli
