// covey export: a model in files, in the form of another tool.
#include <filesystem>

#include "coordinator/cli/commands.h"
#include "coordinator/cli/model_file.h"
#include "core/base/file.h"
#include "core/data/files.h"
#include "core/data/hf/gguf.h"
#include "core/data/hf/hf_model.h"
#include "core/protocol/quota.h"
#include "core/service/exit_code.h"
#include "core/service/text_file.h"

namespace covey::cli {
namespace {

constexpr std::uint64_t kFileBytesMin = 4096;

Result<FileDType> dtype_from(const std::string& name, FileDType otherwise) {
  if (name.empty()) return otherwise;
  if (name == "f32") return FileDType::kF32;
  if (name == "f16") return FileDType::kF16;
  if (name == "bf16") return FileDType::kBF16;
  return unexpected(ErrorCode::kInvalidArgument, "--dtype " + name + ": must be f32, f16 or bf16");
}

// What transformers is told of the model: our settings, and of a folder of its own what they do not say.
Result<HfConfig> config_of(const LoadedModel& loaded) {
  COVEY_TRY(HfConfig config, hf_config_of(loaded.spec.model));
  const std::optional<HfConfig>& from = loaded.config ? loaded.config : loaded.tokenizer_config;
  if (!from || from->vocabulary > config.vocabulary) return config;
  config.begin_token = from->begin_token;
  config.pad_token = from->pad_token;
  config.end_tokens = from->end_tokens;
  if (loaded.config) config.dtype = from->dtype;
  return config;
}

const TokenizerSpec* tokenizer_of(const LoadedModel& loaded) {
  return loaded.tokenizer == nullptr ? nullptr : &loaded.tokenizer->spec();
}

// As jobs on text without a pinned tokenizer do; of a folder of transformers nobody says so.
bool reads_bytes(const LoadedModel& loaded) {
  const JobSpec& job = loaded.spec;
  return !loaded.config && job.model.vocabulary == 256 && job.data.reads_bytes();
}

// A folder made beside and renamed when it is whole.
Result<void> whole_folder(const std::string& folder, const std::function<Result<void>(const std::string&)>& write) {
  const std::string partial = folder + ".partial";
  for (const std::string& path : {folder, partial})
    if (file_exists(path))
      return unexpected(ErrorCode::kAlreadyExists, path + " is there already: name another folder, or remove it");
  COVEY_TRY_VOID(make_folders(partial, 0755));
  Result<void> written = write(partial);
  if (written) written = rename_file(partial, folder);
  std::error_code ignored;  // of the first error there is more to say
  if (!written) std::filesystem::remove_all(partial, ignored);
  return written;
}

Result<void> export_transformers(const ExportOptions& options, const LoadedModel& loaded, std::uint64_t file_bytes) {
  COVEY_TRY(HfConfig config, config_of(loaded));
  COVEY_TRY(config.dtype, dtype_from(options.dtype, config.dtype));
  return write_hf(options.output, {config, tokenizer_of(loaded), file_bytes, loaded.tokenizer_text}, source_of(loaded.spec.model, loaded.parameters));
}

Result<void> export_gguf(const ExportOptions& options, const LoadedModel& loaded) {
  COVEY_TRY(const HfConfig config, config_of(loaded));
  COVEY_TRY(const FileDType dtype, dtype_from(options.dtype, FileDType::kF16));
  return write_gguf(options.output, {config, tokenizer_of(loaded), dtype, loaded.spec.name},
                    source_of(loaded.spec.model, loaded.parameters));
}

// Byte for byte, for jobs pin its hash.
Result<void> bring_tokenizer(const std::string& folder, const std::string& text) {
  return text.empty() ? Result<void>() : write_file(folder + "/" + kTokenizerFile, bytes_of(text));
}

// Every parameter under its own name, of any family, and the job that says what they are.
Result<void> export_tensors(const ExportOptions& options, const LoadedModel& loaded, std::uint64_t file_bytes) {
  COVEY_TRY(const FileDType dtype, dtype_from(options.dtype, FileDType::kF32));
  const ParameterTable table = parameter_table(loaded.spec.model);
  const std::string toml = public_toml(loaded.spec);
  TensorWriting writing;
  writing.metadata = {{"format", "pt"}, {"covey.job_toml", toml}};
  writing.file_bytes_max = file_bytes;
  for (const ParameterInfo& info : table.parameters)
    writing.tensors.push_back({info.name, dtype, {info.shape.begin(), info.shape.end()}});
  return whole_folder(options.output, [&](const std::string& folder) -> Result<void> {
    COVEY_TRY_VOID(write_tensor_files(folder, writing, [&](std::size_t index) -> Result<std::vector<float>> {
      const auto first = loaded.parameters.begin() + static_cast<std::ptrdiff_t>(table.parameters[index].offset);
      return std::vector<float>(first, first + static_cast<std::ptrdiff_t>(table.parameters[index].size));
    }));
    COVEY_TRY_VOID(bring_tokenizer(folder, loaded.tokenizer_text));
    return write_file(folder + "/job.toml", bytes_of(toml));
  });
}

Result<void> export_adapter(const ExportOptions& options, LoadedModel loaded) {
  if (!options.dtype.empty() && options.dtype != "f32")
    return unexpected(ErrorCode::kUnsupported, "--dtype " + options.dtype + ": adapters are written in f32; leave it out");
  COVEY_TRY(const HfConfig config, hf_config_of(loaded.spec.model));
  COVEY_TRY(LoraAdapter adapter, adapter_of({loaded.spec.model, std::move(loaded.parameters)}));
  adapter.base_model = loaded.spec.start;
  return whole_folder(options.output, [&](const std::string& folder) -> Result<void> {
    COVEY_TRY_VOID(write_peft(folder, config, adapter));
    return bring_tokenizer(folder, loaded.tokenizer_text);
  });
}

}  // namespace

Result<int> export_command(const ExportOptions& asked, Console& console) {
  ExportOptions options = asked;
  if (asked.form != "gguf") options.output = without_slash(asked.output);
  auto file_bytes = size_from(options.file_size_max);
  if (!file_bytes) return unexpected(Error{file_bytes.error().code, "--file-size-max " + file_bytes.error().message});
  if (*file_bytes < kFileBytesMin)
    return unexpected(ErrorCode::kInvalidArgument, "--file-size-max " + options.file_size_max + ": must be at least 4 KiB");
  if (options.form == "gguf")
    COVEY_TRY_VOID(check_new_file("-o", options.output));
  else
    COVEY_TRY_VOID(check_new_folder("-o", options.output));
  ModelSource source = options.model;
  COVEY_TRY(LoadedModel loaded, load_model(source));
  if (loaded.config && loaded.config->context > loaded.spec.model.context && source.context == 0) {
    source.context = loaded.config->context;  // all positions go along, unless fewer are asked for
    COVEY_TRY(loaded, load_model(source));
  }
  const bool whole = options.form == "hf" || options.form == "gguf";
  if (options.form != "safetensors" && loaded.spec.model.family != ModelFamily::kTransformer)
    return unexpected(ErrorCode::kUnsupported, "--to " + options.form + ": the model is a \"" + name_of(loaded.spec.model.family) +
                                                   "\", and only a \"transformer\" has that form; `--to safetensors` writes any model");
  if (whole && loaded.spec.model.lora.rank > 0) {
    FlatModel flat = merged({loaded.spec.model, std::move(loaded.parameters)});
    loaded.spec.model = std::move(flat.spec);
    loaded.parameters = std::move(flat.parameters);
    console.note("the job's adapters are merged into the weights; `--to peft` writes them apart");
  }
  if (whole && loaded.tokenizer == nullptr)
    console.warn(reads_bytes(loaded) ? std::string("no tokenizer goes along: the model reads bytes, token N is byte N")
                                     : "no tokenizer goes along: name its tokenizer.json, or the folder of transformers that the job "
                                       "started from, with --tokenizer");
  const std::uint64_t parameters = loaded.parameters.size();
  Result<void> written = options.form == "hf"            ? export_transformers(options, loaded, *file_bytes)
                         : options.form == "gguf"        ? export_gguf(options, loaded)
                         : options.form == "safetensors" ? export_tensors(options, loaded, *file_bytes)
                                                         : export_adapter(options, std::move(loaded));
  if (!written) return unexpected(written.error());
  console.object(JsonObject().add("event", "exported").add("form", options.form).add("output", options.output).add("parameters", parameters));
  console.line("Wrote " + options.output + " (" + options.form + ", of a model of " + std::to_string(parameters) + " parameters).");
  return kExitOk;
}

}  // namespace covey::cli
