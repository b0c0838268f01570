// covey import: a folder of transformers becomes a model that jobs of this coordinator can start from.
#include <algorithm>
#include <filesystem>

#include "client/tokenizer_file.h"
#include "coordinator/cli/commands.h"
#include "coordinator/service/home.h"
#include "coordinator/service/start_models.h"
#include "core/base/file.h"
#include "core/data/files.h"
#include "core/data/hf/hf_model.h"
#include "core/service/exit_code.h"
#include "core/service/text_file.h"
#include "core/spec/setting.h"

namespace covey::cli {
namespace {

namespace fs = std::filesystem;

Result<std::string> name_of_start(const ImportOptions& options) {
  JobSpec job;  // whose rule for the name it is
  job.model.family = ModelFamily::kTransformer;
  job.start = options.name.empty() ? fs::path(options.folder + "/").parent_path().filename().string() : options.name;
  const auto valid = job.validate();
  if (job.start.empty() || !valid)
    return unexpected(ErrorCode::kInvalidArgument,
                      job.start.empty()     ? "give the model a name with --name"
                      : options.name.empty() ? valid.error().message + "; give one with --name"
                                             : in_context("--name", valid.error()).message);
  return job.start;
}

// The lines of a job file that such a model asks for.
std::string job_lines(const std::string& name, const ModelSpec& spec, const std::string& tokenizer) {
  const auto whole = [](const char* key, std::uint64_t value) { return std::string(key) + " = " + std::to_string(value) + "\n"; };
  std::string text = "[model]\nfamily = \"transformer\"\nstart = \"" + name + "\"\nstyle = \"" + name_of(spec.style) + "\"\n";
  text += whole("vocabulary", spec.vocabulary) + whole("layers", spec.layers) + whole("width", spec.width) + whole("heads", spec.heads);
  if (spec.kv_heads != 0) text += whole("kv_heads", spec.kv_heads);
  text += whole("ffn", spec.ffn) + whole("context", spec.context) + "tied_head = " + (spec.tied_head ? "true" : "false") + "\n";
  text += "norm_epsilon = " + setting_text(spec.norm_epsilon) + "\n";
  if (spec.style == TransformerStyle::kLlama) text += "rope_theta = " + setting_text(spec.rope_theta) + "\n";
  if (!tokenizer.empty()) text += "[data]\ntokenizer_sha256 = \"" + tokenizer + "\"\n";
  return text;
}

// Byte for byte, for jobs pin its hash, which is returned; empty where there is none.
Result<std::string> copy_tokenizer(const std::string& from, const std::string& to) {
  const std::string path = tokenizer_path("", from);
  if (path.empty()) return std::string();
  COVEY_TRY(const TokenizerFile tokenizer, read_tokenizer(path));
  COVEY_TRY(const Bytes bytes, read_file(path, kTokenizerBytesMax));
  COVEY_TRY_VOID(write_file(to + "/" + kTokenizerFile, bytes));
  return tokenizer.sha256;
}

// What `covey pull` and `covey export` wrote have no config.json of transformers; the remedy differs.
Result<void> check_source(const std::string& folder) {
  std::error_code code;
  if (!fs::is_directory(folder, code)) return unexpected(ErrorCode::kNotFound, folder + " is not a folder: name one of transformers");
  if (file_exists(folder + "/config.json") || !file_exists(folder + "/job.toml")) return {};
  return unexpected(ErrorCode::kInvalidArgument,
                    folder + " is a job's model: write it for transformers first, `covey export --model " + folder +
                        " --to hf -o DIR`, and import DIR");
}

// Every tensor read and checked on its way, in the type it had. Whole, with its sums, or not at all: it is made beside,
// under a name that no model has. Returns the tokenizer's SHA-256.
Result<std::string> copy_model(const HfFolder& from, const ImportOptions& options, const std::string& to) {
  const std::string beside = to + ".partial";
  COVEY_TRY_VOID(write_hf(beside, {.config = from.config()}, [&](const HfPart& part) { return from.read(part); }));
  auto tokenizer = copy_tokenizer(options.folder, beside);
  auto done = tokenizer ? write_start_sums(beside) : Result<void>(unexpected(tokenizer.error()));
  if (done) done = rename_file(beside, to);
  std::error_code ignored;  // of the first error there is more to say
  if (!done) fs::remove_all(beside, ignored);
  if (!done) return unexpected(done.error());
  COVEY_TRY_VOID(sync_folder(fs::path(to).parent_path().string()));
  return tokenizer;
}

}  // namespace

Result<int> import_command(const ImportOptions& options, Console& console) {
  const std::string coordinator = coordinator_folder(options.home);
  std::error_code code;
  if (!fs::is_directory(coordinator, code))
    return unexpected(ErrorCode::kNotFound, coordinator + " does not exist: a model is brought on the coordinator's machine, with its --home");
  COVEY_TRY(const std::string name, name_of_start(options));
  const std::string models = coordinator + "/" + kStartModelsFolder, target = models + "/" + name;
  COVEY_TRY_VOID(make_folders(models, 0700));
  const auto lock = FolderLock::take(models);
  if (!lock) return unexpected(in_context("another `covey import`, or `covey models --remove`, is at work there", lock.error()));
  if (file_exists(target))
    return unexpected(ErrorCode::kAlreadyExists, "there is a model \"" + name + "\" already: give this one another name with --name, or "
                                                     "remove that one with `covey models --remove " + name + "`");
  COVEY_TRY_VOID(check_source(options.folder));
  COVEY_TRY(const HfFolder folder, HfFolder::open(options.folder));
  auto spec = model_spec_of(folder.config(), kContextDefault);
  if (!spec) return unexpected(in_context(options.folder, spec.error()));
  for (const char* left : {".partial", ".partial.partial"}) fs::remove_all(target + left, code);  // by an import that was killed
  console.note("reading " + options.folder);
  COVEY_TRY(const std::string tokenizer, copy_model(folder, options, target));
  const std::string lines = job_lines(name, *spec, tokenizer);
  console.object(JsonObject()
                     .add("event", "imported")
                     .add("name", name)
                     .add("folder", target)
                     .add("parameters", parameter_table(*spec).size)
                     .add("tokenizer_sha256", tokenizer)
                     .add("job_lines", lines));
  console.line("Jobs can start from it with these lines in their file (a shorter context is possible):\n");
  console.line(lines);
  return kExitOk;
}

}  // namespace covey::cli
