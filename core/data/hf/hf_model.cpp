#include "core/data/hf/hf_model.h"

#include <algorithm>
#include <memory>
#include <map>
#include <string>

#include "core/base/check.h"
#include "core/data/files.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::string_view kAdapterPrefix = "base_model.model.";

// Parts that one of our parameters is made of, in the order of their rows: query, key and value of GPT-2.
std::vector<HfPart> parts_of(const HfConfig& config, const std::vector<HfPart>& parts, const std::string& name) {
  std::vector<HfPart> found;
  for (const HfPart& part : parts)
    if (stored_name(config, place_of(config, part)) == name) found.push_back(part);
  return found;
}

// W[out, in] += scale * B[out, rank] A[rank, in].
void add_product(std::span<float> weight, std::span<const float> a, std::span<const float> b, double scale,
                 std::size_t rank) {
  const std::size_t in = a.size() / rank, out = b.size() / rank;
  COVEY_CHECK(weight.size() == in * out);
  std::vector<double> row(in);
  for (std::size_t o = 0; o < out; ++o) {
    std::fill(row.begin(), row.end(), 0.0);
    for (std::size_t r = 0; r < rank; ++r)
      for (std::size_t i = 0; i < in; ++i)
        row[i] += static_cast<double>(b[o * rank + r]) * static_cast<double>(a[r * in + i]);
    for (std::size_t i = 0; i < in; ++i) {
      float& value = weight[o * in + i];
      value = static_cast<float>(static_cast<double>(value) + scale * row[i]);
    }
  }
}

const ParameterInfo* find(const ParameterTable& table, const std::string& name) {
  for (const ParameterInfo& info : table.parameters)
    if (info.name == name) return &info;
  return nullptr;
}

template <class Float>
std::span<Float> values_in(std::span<Float> parameters, const ParameterInfo& info) {
  return parameters.subspan(info.offset, info.size);
}

Result<void> same(std::string_view setting, std::uint64_t ours, std::uint64_t theirs) {
  if (ours == theirs) return {};
  return bad_setting(setting, std::to_string(ours),
                     "the model that it starts from has " + std::to_string(theirs) + "; use that");
}

Result<void> same(std::string_view setting, double ours, double theirs) {
  if (ours == theirs) return {};
  return bad_setting(setting, setting_text(ours),
                     "the model that it starts from has " + setting_text(theirs) + "; use that");
}

}  // namespace

Result<ModelSpec> model_spec_of(const HfConfig& config, std::uint32_t context) {
  ModelSpec spec;
  spec.family = ModelFamily::kTransformer;
  spec.style = config.family == HfFamily::kGpt2 ? TransformerStyle::kGpt2 : TransformerStyle::kLlama;
  spec.vocabulary = config.vocabulary;
  spec.layers = config.layers;
  spec.width = config.width;
  spec.heads = config.heads;
  spec.kv_heads = config.kv_heads == config.heads ? 0 : config.kv_heads;
  spec.ffn = config.ffn;
  spec.context = context == 0 ? config.context : std::min(context, config.context);
  spec.tied_head = config.tied_head;
  spec.norm_epsilon = config.norm_epsilon;
  if (config.family == HfFamily::kLlama) spec.rope_theta = config.rope_theta;
  if (const auto valid = spec.validate(); !valid)
    return unexpected(ErrorCode::kUnsupported, "this model cannot be run here: " + valid.error().message);
  return spec;
}

Result<HfConfig> hf_config_of(const ModelSpec& spec) {
  if (spec.family != ModelFamily::kTransformer)
    return unexpected(ErrorCode::kUnsupported, std::string("a model of family \"") + name_of(spec.family) +
                                                   "\" has no form in transformers; only a \"transformer\" has");
  HfConfig config;
  config.family = spec.style == TransformerStyle::kGpt2 ? HfFamily::kGpt2 : HfFamily::kLlama;
  config.vocabulary = spec.vocabulary;
  config.width = spec.width;
  config.layers = spec.layers;
  config.heads = spec.heads;
  config.kv_heads = spec.kv_head_count();
  config.ffn = spec.ffn_width();
  config.context = spec.context;
  config.norm_epsilon = spec.norm_epsilon;
  config.rope_theta = spec.rope_theta;
  config.tied_head = spec.tied_head;
  if (const auto valid = config.validate(); !valid)
    return unexpected(ErrorCode::kUnsupported, "this model has no form in transformers: " + valid.error().message);
  return config;
}

Result<void> check_same_model(const ModelSpec& spec, const HfConfig& config) {
  const bool gpt2 = spec.style == TransformerStyle::kGpt2;
  if (spec.family == ModelFamily::kTransformer && gpt2 != (config.family == HfFamily::kGpt2))
    return bad_setting("model.style", setting_text(name_of(spec.style)),
                       "the model that it starts from is a " + std::string(name_of(config.family)) + "; use that");
  COVEY_TRY(const HfConfig own, hf_config_of(spec));
  COVEY_TRY_VOID(same("model.vocabulary", std::uint64_t{own.vocabulary}, config.vocabulary));
  COVEY_TRY_VOID(same("model.width", std::uint64_t{own.width}, config.width));
  COVEY_TRY_VOID(same("model.layers", std::uint64_t{own.layers}, config.layers));
  COVEY_TRY_VOID(same("model.heads", std::uint64_t{own.heads}, config.heads));
  COVEY_TRY_VOID(same("model.kv_heads", std::uint64_t{own.kv_heads}, config.kv_heads));
  COVEY_TRY_VOID(same("model.ffn", std::uint64_t{own.ffn}, config.ffn));
  COVEY_TRY_VOID(same("model.norm_epsilon", own.norm_epsilon, config.norm_epsilon));
  if (own.family == HfFamily::kLlama) COVEY_TRY_VOID(same("model.rope_theta", own.rope_theta, config.rope_theta));
  if (own.tied_head != config.tied_head)
    return bad_setting("model.tied_head", own.tied_head ? "true" : "false",
                       "the model that it starts from has another head; change it");
  if (own.context <= config.context) return {};
  return bad_setting("model.context", std::to_string(own.context),
                     "the model that it starts from has " + std::to_string(config.context) +
                         " positions; use that or fewer");
}

bool is_adapter(const ParameterInfo& info) { return info.name.starts_with(kAdapterPrefix); }

Result<std::vector<float>> read_parameter(const HfFolder& folder, const ParameterInfo& info) {
  std::vector<float> values;
  for (const HfPart& part : parts_of(folder.config(), folder.parts(), info.name)) {
    COVEY_TRY(std::vector<float> rows, folder.read(part));
    if (part.role == TensorRole::kPositionEmbedding && rows.size() > info.size) rows.resize(info.size);
    if (values.empty())
      values = std::move(rows);
    else
      values.insert(values.end(), rows.begin(), rows.end());
  }
  COVEY_CHECK(values.size() == info.size);
  return values;
}

Result<BaseReader> open_base(const std::string& folder, const ModelSpec& spec) {
  COVEY_TRY(HfFolder opened, HfFolder::open(folder));
  COVEY_TRY_VOID(check_same_model(spec, opened.config()));
  // Shared: the reader is copied with the function that holds it.
  const auto base = std::make_shared<const HfFolder>(std::move(opened));
  return BaseReader([base](const ParameterInfo& info) -> Result<std::optional<std::vector<float>>> {
    if (is_adapter(info)) return std::optional<std::vector<float>>();
    COVEY_TRY(std::vector<float> values, read_parameter(*base, info));
    return std::optional(std::move(values));
  });
}

Result<std::vector<float>> read_base_parameters(const HfFolder& folder, const ModelSpec& spec) {
  COVEY_TRY_VOID(check_same_model(spec, folder.config()));
  const ParameterTable table = parameter_table(spec);
  std::vector<float> parameters;
  parameters.reserve(table.size);
  for (const ParameterInfo& info : table.parameters) {
    if (is_adapter(info)) continue;
    COVEY_CHECK(info.offset == parameters.size());  // adapters lie behind all of the base
    COVEY_TRY(const std::vector<float> values, read_parameter(folder, info));
    parameters.insert(parameters.end(), values.begin(), values.end());
  }
  return parameters;
}

HfSource source_of(const ModelSpec& spec, std::span<const float> parameters) {
  const auto config = hf_config_of(spec);
  COVEY_CHECK(config);
  return [config = *config, table = parameter_table(spec), parameters](const HfPart& part) -> Result<std::vector<float>> {
    const HfPlace place = place_of(config, part);
    const ParameterInfo* info = find(table, stored_name(config, place));
    COVEY_CHECK(info != nullptr);
    const std::uint64_t columns = part.shape.size() == 2 ? part.shape[1] : 1;
    const auto values = values_in(parameters, *info).subspan(place.first_row * columns, part.elements());
    return std::vector<float>(values.begin(), values.end());
  };
}

FlatModel merged(FlatModel model) {
  const LoraSpec lora = model.spec.lora;
  if (lora.rank == 0) return model;
  const ParameterTable table = parameter_table(model.spec);
  COVEY_CHECK(model.parameters.size() == table.size);
  const std::span<float> all(model.parameters);
  for (const std::string& layer : adaptable_layers(model.spec)) {
    if (!lora.adapts(layer)) continue;
    const std::string stem = std::string(kAdapterPrefix) + layer;
    const ParameterInfo *weight = find(table, layer + ".weight"), *a = find(table, stem + ".lora_A.weight"),
                        *b = find(table, stem + ".lora_B.weight");
    COVEY_CHECK(weight != nullptr && a != nullptr && b != nullptr);
    add_product(values_in(all, *weight), values_in(all, *a), values_in(all, *b), lora.alpha / lora.rank, lora.rank);
  }
  model.spec.lora = {};
  model.parameters.resize(parameter_table(model.spec).size);
  return model;
}

Result<FlatModel> merged(FlatModel model, const LoraAdapter& adapter) {
  COVEY_TRY(const HfConfig config, hf_config_of(model.spec));
  model = merged(std::move(model));
  const ParameterTable table = parameter_table(model.spec);
  for (const LoraPart& part : adapter.parts) {
    const LoraSize size = lora_size(config, part.module);
    const ParameterInfo* weight = find(table, layer_name(config, part) + ".weight");
    if (weight == nullptr || part.a.size() != size.in * adapter.rank || part.b.size() != size.out * adapter.rank)
      return unexpected(ErrorCode::kInvalidArgument, "the adapter changes " + layer_name(config, part) +
                                                         ", which the model does not have in that size");
    add_product(values_in(std::span(model.parameters), *weight), part.a, part.b, adapter.scale(), adapter.rank);
  }
  return model;
}

Result<LoraAdapter> adapter_of(const FlatModel& model) {
  const LoraSpec& lora = model.spec.lora;
  if (lora.rank == 0)
    return unexpected(ErrorCode::kInvalidArgument,
                      "the model has no adapters: its job has no [model.lora]; export it whole");
  COVEY_TRY(const HfConfig config, hf_config_of(model.spec));
  const ParameterTable table = parameter_table(model.spec);
  LoraAdapter adapter;
  adapter.rank = lora.rank;
  adapter.alpha = lora.alpha;
  adapter.dropout = lora.dropout;
  for (std::uint32_t layer = 0; layer < config.layers; ++layer)
    for (auto module = LoraModule::kQuery;; module = static_cast<LoraModule>(static_cast<int>(module) + 1)) {
      LoraPart part{layer, module, {}, {}};
      if (lora_size(config, module).out != 0) {
        const std::string stem = std::string(kAdapterPrefix) + layer_name(config, part);
        const ParameterInfo *a = find(table, stem + ".lora_A.weight"), *b = find(table, stem + ".lora_B.weight");
        if (a != nullptr && b != nullptr) {
          const std::span<const float> all(model.parameters);
          const auto from_a = values_in(all, *a), from_b = values_in(all, *b);
          part.a.assign(from_a.begin(), from_a.end());
          part.b.assign(from_b.begin(), from_b.end());
          adapter.parts.push_back(std::move(part));
        }
      }
      if (module == LoraModule::kFfnDown) break;
    }
  return adapter;
}

}  // namespace covey
