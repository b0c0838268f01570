#include "core/data/hf/peft_adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "core/data/files.h"
#include "core/data/json_text.h"
#include "core/data/tensor_files.h"

namespace covey {
namespace {

using nlohmann::json;

constexpr const char* kConfigFile = "adapter_config.json";
constexpr const char* kWeightsFile = "adapter_model.safetensors";
constexpr std::uint64_t kRankMax = 1 << 14;

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }
Unexpected unsupported(const std::string& what, const std::string& remedy) {
  return unexpected(ErrorCode::kUnsupported, what + " is not supported: " + remedy);
}

struct Row {
  LoraModule module;
  const char* name;
  const char* gpt2;  // path within a layer; empty: none
  const char* llama;
};
// clang-format off
constexpr auto kRows = std::to_array<Row>({
    {LoraModule::kQuery, "query", "", "self_attn.q_proj"},
    {LoraModule::kKey, "key", "", "self_attn.k_proj"},
    {LoraModule::kValue, "value", "", "self_attn.v_proj"},
    {LoraModule::kQueryKeyValue, "query_key_value", "attn.c_attn", ""},
    {LoraModule::kAttentionOut, "attention_out", "attn.c_proj", "self_attn.o_proj"},
    {LoraModule::kFfnGate, "ffn_gate", "", "mlp.gate_proj"},
    {LoraModule::kFfnUp, "ffn_up", "mlp.c_fc", "mlp.up_proj"},
    {LoraModule::kFfnDown, "ffn_down", "mlp.c_proj", "mlp.down_proj"},
});
// clang-format on

std::string_view path_of(const HfConfig& config, const Row& row) {
  return config.family == HfFamily::kGpt2 ? row.gpt2 : row.llama;
}

std::string layer_of(const HfConfig& config, std::uint32_t layer, const Row& row) {
  const char* layers = config.family == HfFamily::kGpt2 ? "transformer.h." : "model.layers.";
  return layers + std::to_string(layer) + "." + std::string(path_of(config, row));
}

// The name up to ".lora_A.weight".
std::string stem_of(const HfConfig& config, std::uint32_t layer, const Row& row) {
  return "base_model.model." + layer_of(config, layer, row);
}

struct Key {
  std::uint32_t layer = 0;
  LoraModule module = LoraModule::kQuery;
  auto operator<=>(const Key&) const = default;
};

Result<std::vector<float>> read_half(const TensorFile& file, const TensorPlace& tensor,
                                     const std::vector<std::uint64_t>& shape) {
  if (tensor.shape != shape)
    return invalid("tensor " + shown(tensor.name) + " has the shape " + shape_text(tensor.shape) +
                   ", for this model and rank it is " + shape_text(shape));
  std::vector<float> values(tensor.elements);
  COVEY_TRY_VOID(file.read(tensor, 0, values));
  for (const float value : values)
    if (!std::isfinite(value)) return invalid("tensor " + shown(tensor.name) + " holds a NaN or an infinity");
  return values;
}

Result<void> read_parts(const TensorFile& file, const HfConfig& config, LoraAdapter& adapter) {
  std::map<std::string_view, const TensorPlace*> rest;
  for (const TensorPlace& tensor : file.layout().tensors) rest.emplace(tensor.name, &tensor);
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) {
    for (const Row& row : kRows) {
      if (path_of(config, row).empty()) continue;
      const std::string stem = stem_of(config, layer, row);
      const auto a = rest.find(stem + ".lora_A.weight"), b = rest.find(stem + ".lora_B.weight");
      if (a == rest.end() && b == rest.end()) continue;
      if (a == rest.end() || b == rest.end())
        return invalid(shown(stem, 200) + " lacks one of lora_A and lora_B");
      const LoraSize size = lora_size(config, row.module);
      LoraPart part{layer, row.module, {}, {}};
      COVEY_TRY(part.a, read_half(file, *a->second, {adapter.rank, size.in}));
      COVEY_TRY(part.b, read_half(file, *b->second, {size.out, adapter.rank}));
      adapter.parts.push_back(std::move(part));
      rest.erase(a);
      rest.erase(b);
    }
  }
  if (!rest.empty())
    return unsupported(
        "tensor " + shown(rest.begin()->first, 200),
        "lora_A and lora_B of the linear layers of a " + std::string(name_of(config.family)) + " are");
  if (adapter.parts.empty()) return invalid("holds no lora_A and lora_B");
  return {};
}

// A member that asks for more than plain LoRA unless it is null, false, or empty.
bool asks_nothing(const json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) ||
         ((value.is_object() || value.is_array()) && value.empty());
}

Result<void> check_parts(const HfConfig& config, const LoraAdapter& adapter) {
  std::set<Key> seen;
  const auto bad = [](const LoraPart& part, const std::string& what) {
    return unexpected(ErrorCode::kInvalidArgument, std::string(name_of(part.module)) + " of layer " +
                                                       std::to_string(part.layer) + " " + what);
  };
  if (adapter.rank < 1 || adapter.rank > kRankMax)
    return unexpected(ErrorCode::kInvalidArgument, "the rank is " + std::to_string(adapter.rank) + ", 1 to " +
                                                       std::to_string(kRankMax) + " is possible");
  for (const LoraPart& part : adapter.parts) {
    const LoraSize size = lora_size(config, part.module);
    if (part.layer >= config.layers || size.out == 0) return bad(part, "is no module of the model");
    if (!seen.insert({part.layer, part.module}).second) return bad(part, "is there twice");
    if (part.a.size() != adapter.rank * size.in || part.b.size() != adapter.rank * size.out)
      return bad(part, "has " + std::to_string(part.a.size()) + " and " + std::to_string(part.b.size()) +
                           " values, " + std::to_string(adapter.rank * size.in) + " and " +
                           std::to_string(adapter.rank * size.out) + " are needed");
  }
  if (seen.empty()) return unexpected(ErrorCode::kInvalidArgument, "the adapter has no part");
  return {};
}

std::string config_text(const HfConfig& config, const LoraAdapter& adapter) {
  std::set<std::string> targets;
  for (const LoraPart& part : adapter.parts)
    for (const Row& row : kRows)
      if (row.module == part.module) {
        // PEFT matches the end of a path: "c_proj" alone would mean two modules of GPT-2.
        const std::string path(path_of(config, row));
        targets.insert(config.family == HfFamily::kGpt2 ? path : path.substr(path.rfind('.') + 1));
      }
  const json root = {
      {"peft_type", "LORA"},
      {"task_type", "CAUSAL_LM"},
      {"base_model_name_or_path", adapter.base_model.empty() ? json() : json(adapter.base_model)},
      {"r", adapter.rank},
      {"lora_alpha", adapter.alpha},
      {"lora_dropout", adapter.dropout},
      {"use_rslora", adapter.rank_stabilised},
      {"target_modules", targets},
      {"fan_in_fan_out", config.family == HfFamily::kGpt2},
      {"bias", "none"},
      {"inference_mode", true}};
  return root.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace

std::string layer_name(const HfConfig& config, const LoraPart& part) {
  return layer_of(config, part.layer, kRows[static_cast<std::size_t>(part.module)]);
}

const char* name_of(LoraModule module) { return kRows[static_cast<std::size_t>(module)].name; }

double LoraAdapter::scale() const {
  return alpha / (rank_stabilised ? std::sqrt(static_cast<double>(rank)) : static_cast<double>(rank));
}

LoraSize lora_size(const HfConfig& config, LoraModule module) {
  if (path_of(config, kRows[static_cast<std::size_t>(module)]).empty()) return {};
  const std::uint64_t d = config.width, kv = config.kv_width(), f = config.ffn;
  switch (module) {
    case LoraModule::kQuery:
    case LoraModule::kAttentionOut:
      return {d, d};
    case LoraModule::kKey:
    case LoraModule::kValue:
      return {kv, d};
    case LoraModule::kQueryKeyValue:
      return {3 * d, d};
    case LoraModule::kFfnGate:
    case LoraModule::kFfnUp:
      return {f, d};
    case LoraModule::kFfnDown:
      return {d, f};
  }
  return {};
}

Result<LoraAdapter> parse_adapter_config(std::string_view text) {
  if (text.size() > kHfConfigBytesMax)
    return invalid("has " + std::to_string(text.size()) + " bytes, at most " +
                   std::to_string(kHfConfigBytesMax) + " are read");
  COVEY_TRY(const json root, parse_json(text, {.depth_max = 16, .values_max = 20'000}));
  if (!root.is_object()) return invalid("the top is no object");
  COVEY_TRY(const auto type, find_text(root, "peft_type"));
  if (type != "LORA") return unsupported("peft_type = " + shown(type.value_or("")), "only \"LORA\" is");
  COVEY_TRY(const auto bias, find_text(root, "bias"));
  if (bias.value_or("none") != "none") return unsupported("bias = " + shown(*bias), "only \"none\" is");
  for (const char* name :
       {"use_dora", "lora_bias", "modules_to_save", "rank_pattern", "alpha_pattern", "layer_replication",
        "trainable_token_indices", "target_parameters", "use_qalora", "use_bdlora", "kasa_config",
        "velora_config", "arrow_config", "alora_invocation_tokens", "monteclora_config"}) {
    const auto at = root.find(name);
    if (at != root.end() && !asks_nothing(*at))
      return unsupported(std::string(name) + " = " + shown_json(*at), "only plain LoRA is");
  }
  LoraAdapter adapter;
  COVEY_TRY(const auto rank, find_uint(root, "r", {1, kRankMax}));
  if (!rank) return invalid("r is missing");
  adapter.rank = static_cast<std::uint32_t>(*rank);
  COVEY_TRY(const auto alpha, find_number(root, "lora_alpha"));
  adapter.alpha = alpha.value_or(8);  // PEFT's default
  COVEY_TRY(const auto dropout, find_number(root, "lora_dropout"));
  adapter.dropout = dropout.value_or(0);
  if (adapter.dropout < 0 || adapter.dropout >= 1)
    return invalid("lora_dropout = " + std::to_string(adapter.dropout) + ": from 0 to below 1 is possible");
  COVEY_TRY(const auto stabilised, find_bool(root, "use_rslora"));
  adapter.rank_stabilised = stabilised.value_or(false);
  COVEY_TRY(const auto base, find_text(root, "base_model_name_or_path"));
  adapter.base_model = base.value_or("");
  return adapter;
}

Result<LoraAdapter> read_peft(const std::string& folder, const HfConfig& config) {
  const std::string path = folder + "/" + kConfigFile, weights = folder + "/" + kWeightsFile;
  COVEY_TRY(const Bytes text, read_data_file(path, kHfConfigBytesMax));
  auto adapter = parse_adapter_config(text_of(text));
  if (!adapter) return unexpected(in_context(path, adapter.error()));
  COVEY_TRY(const TensorFile file, TensorFile::open(weights));
  const auto read = read_parts(file, config, *adapter);
  if (!read) return unexpected(in_context(weights, read.error()));
  return std::move(*adapter);
}

Result<void> write_peft(const std::string& folder, const HfConfig& config, const LoraAdapter& adapter) {
  COVEY_TRY_VOID(check_parts(config, adapter));
  COVEY_TRY_VOID(make_data_folders(folder));
  TensorWriting writing;
  writing.metadata = {{"format", "pt"}};
  for (const LoraPart& part : adapter.parts) {
    const LoraSize size = lora_size(config, part.module);
    const std::string stem = stem_of(config, part.layer, kRows[static_cast<std::size_t>(part.module)]);
    writing.tensors.push_back({stem + ".lora_A.weight", FileDType::kF32, {adapter.rank, size.in}});
    writing.tensors.push_back({stem + ".lora_B.weight", FileDType::kF32, {size.out, adapter.rank}});
  }
  COVEY_TRY_VOID(write_tensor_file(folder + "/" + kWeightsFile, writing, [&](std::size_t index) {
    const LoraPart& part = adapter.parts[index / 2];
    return Result<std::vector<float>>(index % 2 == 0 ? part.a : part.b);
  }));
  const std::string path = folder + "/" + kConfigFile;
  COVEY_TRY(const FileDescriptor file, create_data_file(path));
  COVEY_TRY_VOID(write_at(file, 0, bytes_of(config_text(config, adapter)), path));
  COVEY_TRY_VOID(sync_file(file, path));
  return sync_folder(folder);
}

}  // namespace covey
