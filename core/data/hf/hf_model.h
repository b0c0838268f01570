// A GPT-2 or a Llama of transformers as one of our models, and back: its settings, and its tensors in the flat
// buffer of ParameterTable. Names of our parameters are transformers' own; matrices are [out, in] here.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/data/hf/hf_folder.h"
#include "core/data/hf/peft_adapter.h"
#include "core/spec/model_spec.h"
#include "core/spec/parameter_table.h"

namespace covey {

// The model that `config` describes, for windows of at most `context` tokens; 0: of all its positions. Dropout
// is 0. Errors: kUnsupported for what our models cannot be, naming our setting and its bound.
Result<ModelSpec> model_spec_of(const HfConfig& config, std::uint32_t context);

// What transformers calls a transformer of ours, in f32, without [model.lora] and without tokens.
// Errors: kUnsupported for another family, and for what transformers has no name for.
Result<HfConfig> hf_config_of(const ModelSpec& spec);

// Errors: kInvalidArgument naming the setting of `spec` in which the folder's model differs. Its context may be
// shorter than the folder's; dropout and [model.lora] are the spec's own.
Result<void> check_same_model(const ModelSpec& spec, const HfConfig& config);

// One parameter of `spec`, which check_same_model() passed, that is no adapter's. Errors: of HfFolder::read.
Result<std::vector<float>> read_parameter(const HfFolder& folder, const ParameterInfo& info);
// All but the adapters', in table order: as many as the base has. Errors: of check_same_model and read.
Result<std::vector<float>> read_base_parameters(const HfFolder& folder, const ModelSpec& spec);
bool is_adapter(const ParameterInfo& info);
// The parameters of `spec` out of `folder`, one at a time; nothing for an adapter's.
// Errors: of HfFolder::open and check_same_model.
using BaseReader = std::function<Result<std::optional<std::vector<float>>>(const ParameterInfo& info)>;
Result<BaseReader> open_base(const std::string& folder, const ModelSpec& spec);

// The parts of hf_config_of(spec) out of the flat buffer, which outlives the source.
HfSource source_of(const ModelSpec& spec, std::span<const float> parameters);

// A model with its parameters, table order.
struct FlatModel {
  ModelSpec spec;
  std::vector<float> parameters;
};
// W + alpha / rank * B A in the place of each adapted W; then without adapters.
FlatModel merged(FlatModel model);
// The same with an adapter of PEFT. Errors: kInvalidArgument where a part is none of the model's layers.
Result<FlatModel> merged(FlatModel model, const LoraAdapter& adapter);
// A and B of [model.lora], as PEFT keeps them. Errors: kInvalidArgument for a model without adapters.
Result<LoraAdapter> adapter_of(const FlatModel& model);

}  // namespace covey
