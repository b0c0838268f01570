#include "coordinator/cli/model_file.h"

#include <algorithm>
#include <filesystem>

#include "client/tokenizer_file.h"
#include "core/data/hf/hf_model.h"
#include "core/data/safetensors.h"
#include "core/protocol/job_fit.h"
#include "core/protocol/limits.h"
#include "core/service/text_file.h"

namespace covey::cli {
namespace {

constexpr std::size_t kModelFileBytesMax = std::size_t{1} << 34U;

// A model's job: in the file's metadata, else in job.toml beside it.
Result<JobSpec> spec_of_file(const SafetensorsFile& file, const std::string& path) {
  const auto own = file.metadata.find("covey.job_toml");
  if (own != file.metadata.end()) return parse_accepted_job(own->second);
  const std::string beside = (std::filesystem::path(path).parent_path() / "job.toml").string();
  auto toml = read_file(beside, 64 * 1024);
  if (!toml)
    return unexpected(in_context(path + " does not say which model it holds, and there is no job file beside "
                                        "it; use a folder that `covey pull` made, or name the whole folder of transformers",
                                 toml.error()));
  return parse_accepted_job(text_of(*toml));
}


bool is_file(const std::string& path) {
  std::error_code code;
  return std::filesystem::is_regular_file(path, code);
}

Result<LoadedModel> load_file(const std::string& path) {
  if (std::filesystem::exists(path) && !is_file(path))  // a device never ends, a FIFO may never begin
    return unexpected(ErrorCode::kInvalidArgument, path + " is not a regular file: name a model's file or folder");
  COVEY_TRY(const Bytes bytes, read_file(path, kModelFileBytesMax));
  auto file = from_safetensors(bytes);
  if (!file) return unexpected(in_context(path, file.error()));
  auto spec = spec_of_file(*file, path);
  if (!spec) return unexpected(in_context(path, spec.error()));
  auto parameters = parameters_from(*file, parameter_table(spec->model));
  if (!parameters) return unexpected(in_context(path, parameters.error()));
  LoadedModel loaded;
  loaded.spec = std::move(*spec);
  loaded.parameters = std::move(*parameters);
  return loaded;
}

Result<std::vector<float>> read_table(const TensorFolder& tensors, const ParameterTable& table) {
  std::vector<float> parameters;
  parameters.reserve(table.size);
  for (const ParameterInfo& info : table.parameters) {
    const TensorPlace* place = tensors.find(info.name);
    if (place == nullptr || place->shape != std::vector<std::uint64_t>(info.shape.begin(), info.shape.end()))
      return unexpected(ErrorCode::kInvalidData, "tensor \"" + info.name + "\" is missing or of another shape than its job's model");
    COVEY_TRY(const std::vector<float> values, tensors.read(info.name));
    parameters.insert(parameters.end(), values.begin(), values.end());
  }
  if (tensors.names().size() != table.parameters.size())
    return unexpected(ErrorCode::kInvalidData, "holds " + std::to_string(tensors.names().size()) + " tensors, its job's model has " +
                                                   std::to_string(table.parameters.size()));
  return parameters;
}

// Several files and their index, as `covey export --to safetensors` writes a large model.
Result<LoadedModel> load_sharded(const std::string& folder) {
  COVEY_TRY(const Bytes toml, read_file(folder + "/job.toml", kJobTomlBytesMax));
  auto spec = parse_accepted_job(text_of(toml));
  if (!spec) return unexpected(in_context(folder + "/job.toml", spec.error()));
  COVEY_TRY(const TensorFolder tensors, TensorFolder::open(folder));
  auto parameters = read_table(tensors, parameter_table(spec->model));
  if (!parameters) return unexpected(in_context(folder, parameters.error()));
  LoadedModel loaded;
  loaded.spec = std::move(*spec);
  loaded.parameters = std::move(*parameters);
  return loaded;
}

Result<LoadedModel> load_transformers(const ModelSource& source) {
  COVEY_TRY(const HfFolder folder, HfFolder::open(source.model));
  const std::uint32_t positions = folder.config().context;
  if (source.context > positions)
    return unexpected(ErrorCode::kInvalidArgument, "--context " + std::to_string(source.context) + ": " + source.model + " has " +
                                                       std::to_string(positions) + " positions; give as many or fewer");
  const std::uint32_t context = source.context != 0 ? source.context : std::min(positions, kContextDefault);
  LoadedModel loaded;
  auto spec = model_spec_of(folder.config(), context);
  if (!spec) return unexpected(in_context(source.model, spec.error()));
  loaded.spec.name = "model";
  loaded.spec.model = std::move(*spec);
  loaded.config = folder.config();
  COVEY_TRY(loaded.parameters, read_base_parameters(folder, loaded.spec.model));
  return loaded;
}

Result<LoadedModel> load_plain(const ModelSource& source) {
  std::error_code code;
  if (!std::filesystem::exists(source.model, code))
    return unexpected(ErrorCode::kNotFound, source.model + " does not exist: name a folder of `covey pull`, `covey export` or "
                                                           "transformers, or a safetensors file");
  if (!std::filesystem::is_directory(source.model, code)) return load_file(source.model);
  if (is_file(source.model + "/config.json") && !is_file(source.model + "/job.toml")) return load_transformers(source);
  return is_file(source.model + "/" + kModelIndexFile) ? load_sharded(source.model) : load_file(source.model + "/" + kModelFile);
}

Result<void> add_adapter(const std::string& folder, LoadedModel& loaded) {
  if (loaded.spec.model.lora.rank > 0)
    return unexpected(ErrorCode::kInvalidArgument,
                      "--adapter " + folder + ": the model's job trained adapters of its own, which it has; leave --adapter out, "
                                              "or give the model that they started from");
  COVEY_TRY(const HfConfig config, hf_config_of(loaded.spec.model));
  COVEY_TRY(const LoraAdapter adapter, read_peft(folder, config));
  auto merged_model = merged({loaded.spec.model, std::move(loaded.parameters)}, adapter);
  if (!merged_model) return unexpected(in_context(folder, merged_model.error()));
  loaded.spec.model = std::move(merged_model->spec);
  loaded.parameters = std::move(merged_model->parameters);
  return {};
}

Result<void> add_tokenizer(const ModelSource& source, LoadedModel& loaded) {
  std::error_code code;
  const bool folder = std::filesystem::is_directory(source.model, code);
  const std::string beside = folder ? source.model : std::filesystem::path(source.model).parent_path().string();
  const std::string path = tokenizer_path(source.tokenizer, beside);
  if (path.empty()) return {};
  COVEY_TRY(TokenizerFile file, read_tokenizer(path));
  const std::string& pin = loaded.spec.data.tokenizer_sha256;
  if (!pin.empty() && pin != file.sha256)
    return unexpected(ErrorCode::kInvalidData, path + " is another tokenizer than the model's: its SHA-256 is " + file.sha256 +
                                                   ", the job pins " + pin);
  if (file.tokenizer->vocabulary() > loaded.spec.model.vocabulary)
    return unexpected(ErrorCode::kInvalidData, path + " has " + std::to_string(file.tokenizer->vocabulary()) +
                                                   " tokens, the model's vocabulary " + std::to_string(loaded.spec.model.vocabulary) +
                                                   ": name the tokenizer that belongs to the model with --tokenizer");
  loaded.tokenizer = std::move(file.tokenizer);
  loaded.tokenizer_sha256 = std::move(file.sha256);
  loaded.tokenizer_text = std::move(file.text);
  const std::string config = (std::filesystem::path(path).parent_path() / "config.json").string();
  if (loaded.config || !is_file(config)) return {};
  COVEY_TRY(const Bytes text, read_file(config, kHfConfigBytesMax));
  if (auto read = parse_hf_config(text_of(text))) loaded.tokenizer_config = std::move(*read);  // another kind of model's says nothing here
  return {};
}

}  // namespace

Result<LoadedModel> load_model(const ModelSource& source) {
  COVEY_TRY(LoadedModel loaded, load_plain(source));
  if (source.context != 0 && !loaded.config)
    return unexpected(ErrorCode::kInvalidArgument, "--context is for folders of transformers; the job of " + source.model +
                                                       " says model.context = " + std::to_string(loaded.spec.model.context));
  if (!source.adapter.empty()) COVEY_TRY_VOID(add_adapter(source.adapter, loaded));
  COVEY_TRY_VOID(add_tokenizer(source, loaded));
  if (!loaded.config) return loaded;
  // What a job with such a model would say of its data.
  loaded.spec.data.tokenizer_sha256 = loaded.tokenizer_sha256;
  if (loaded.tokenizer == nullptr && loaded.spec.model.vocabulary != 256) loaded.spec.data.format = DataFormat::kTokens;
  return loaded;
}

}  // namespace covey::cli
