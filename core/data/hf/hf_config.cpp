#include "core/data/hf/hf_config.h"

#include <algorithm>

#include "core/data/bpe/tokenizer.h"
#include "core/data/files.h"
#include "core/data/json_text.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

using nlohmann::json;

constexpr std::uint64_t kWidthMax = 1 << 18, kLayersMax = 4096, kFfnMax = 1 << 22, kContextMax = 1 << 26;

Unexpected invalid(std::string message) { return unexpected(ErrorCode::kInvalidData, std::move(message)); }
Unexpected unsupported(const std::string& what, const std::string& remedy) {
  return unexpected(ErrorCode::kUnsupported, what + " is not supported: " + remedy);
}

Result<std::uint32_t> needed(const json& root, const char* name, std::uint64_t max) {
  COVEY_TRY(const auto value, find_uint(root, name, {1, max}));
  if (!value) return invalid(std::string(name) + " is missing");
  return static_cast<std::uint32_t>(*value);
}

Result<void> refuse_unless(const json& root, const char* name, bool wanted) {
  COVEY_TRY(const auto value, find_bool(root, name));
  if (value.value_or(wanted) == wanted) return {};
  return unsupported(std::string(name) + " = " + (wanted ? "false" : "true"),
                     std::string("only ") + (wanted ? "true" : "false") + " is");
}

Result<void> refuse_present(const json& root, const char* name, const std::string& remedy) {
  const json* value = find_member(root, name);
  if (value == nullptr) return {};
  return unsupported(std::string(name) + " = " + shown_json(*value), remedy);
}

Result<void> read_activation(const json& root, const char* name, std::initializer_list<const char*> known) {
  COVEY_TRY(const auto activation, find_text(root, name));
  const std::string text = activation.value_or(*known.begin());
  for (const char* one : known)
    if (text == one) return {};
  return unsupported(std::string(name) + " = " + shown(text),
                     std::string("only \"") + *known.begin() + "\" is");
}

Result<void> read_tokens(const json& root, HfConfig& config) {
  const JsonRange range{0, 0xffffffff};
  COVEY_TRY(const auto begin, find_uint(root, "bos_token_id", range));
  COVEY_TRY(const auto pad, find_uint(root, "pad_token_id", range));
  if (begin) config.begin_token = static_cast<std::uint32_t>(*begin);
  if (pad) config.pad_token = static_cast<std::uint32_t>(*pad);
  const json* end = find_member(root, "eos_token_id");
  if (end == nullptr) return {};
  const json list = end->is_array() ? *end : json::array({*end});
  if (list.size() > 64)
    return invalid("eos_token_id has " + std::to_string(list.size()) + " tokens, at most 64 are read");
  for (const json& id : list) {
    if (!id.is_number_unsigned() || id.get<std::uint64_t>() > range.max)
      return invalid("eos_token_id = " + shown_json(*end) + ": a token's id, or a list of them, is needed");
    config.end_tokens.push_back(id.get<std::uint32_t>());
  }
  return {};
}

Result<void> read_dtype(const json& root, HfConfig& config) {
  const char* name = find_member(root, "dtype") != nullptr ? "dtype" : "torch_dtype";  // 5.x, 4.x
  COVEY_TRY(const auto dtype, find_text(root, name));
  if (dtype.value_or("float32") == "float32")
    config.dtype = FileDType::kF32;
  else if (*dtype == "float16")
    config.dtype = FileDType::kF16;
  else if (*dtype == "bfloat16")
    config.dtype = FileDType::kBF16;
  else
    return unsupported(std::string(name) + " = " + shown(*dtype),
                       "\"float32\", \"float16\" and \"bfloat16\" are");
  return {};
}

Result<void> read_common(const json& root, HfConfig& config, const char* architecture, bool tied_by_default) {
  if (const json* list = find_member(root, "architectures"))
    if (!list->is_array() || std::find(list->begin(), list->end(), architecture) == list->end())
      return unsupported("architectures = " + shown_json(*list), std::string("only ") + architecture + " is");
  COVEY_TRY_VOID(refuse_present(root, "quantization_config", "convert the weights to bfloat16 or float32"));
  COVEY_TRY_VOID(refuse_present(root, "sliding_window", "only full attention is"));
  COVEY_TRY(const auto tied, find_bool(root, "tie_word_embeddings"));
  config.tied_head = tied.value_or(tied_by_default);
  COVEY_TRY(config.vocabulary, needed(root, "vocab_size", kVocabularyMax));
  COVEY_TRY_VOID(read_tokens(root, config));
  return read_dtype(root, config);
}

Result<void> read_gpt2(const json& root, HfConfig& config) {
  COVEY_TRY_VOID(read_common(root, config, "GPT2LMHeadModel", true));
  COVEY_TRY(config.width, needed(root, "n_embd", kWidthMax));
  COVEY_TRY(config.layers, needed(root, "n_layer", kLayersMax));
  COVEY_TRY(config.heads, needed(root, "n_head", kWidthMax));
  COVEY_TRY(config.context, needed(root, "n_positions", kContextMax));
  config.kv_heads = config.heads;
  COVEY_TRY(const auto inner, find_uint(root, "n_inner", {1, kFfnMax}));
  config.ffn = static_cast<std::uint32_t>(inner.value_or(std::uint64_t{4} * config.width));
  COVEY_TRY(const auto epsilon, find_number(root, "layer_norm_epsilon"));
  config.norm_epsilon = epsilon.value_or(1e-5);
  COVEY_TRY_VOID(read_activation(root, "activation_function", {"gelu_new", "gelu_pytorch_tanh"}));
  COVEY_TRY_VOID(refuse_unless(root, "scale_attn_weights", true));
  for (const char* name :
       {"scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn", "add_cross_attention"})
    COVEY_TRY_VOID(refuse_unless(root, name, false));
  return {};
}

Result<void> read_rope(const json& root, HfConfig& config) {
  // 4.x: rope_theta and rope_scaling; 5.x: rope_parameters holds both.
  const json* const groups[] = {find_member(root, "rope_scaling"), find_member(root, "rope_parameters"),
                                &root};
  config.rope_theta = 10000;
  for (const json* group : groups) {
    if (group == nullptr) continue;
    if (!group->is_object()) return invalid("rope_scaling = " + shown_json(*group) + ": an object is needed");
    if (group != &root)
      for (const char* name : {"rope_type", "type"}) {
        COVEY_TRY(const auto type, find_text(*group, name));
        if (type.value_or("default") != "default")
          return unsupported("rope scaling " + shown_json(*group), "only plain rotary positions are");
      }
    COVEY_TRY(const auto theta, find_number(*group, "rope_theta"));
    if (theta) config.rope_theta = *theta;
    COVEY_TRY(const auto share, find_number(*group, "partial_rotary_factor"));
    if (share.value_or(1) != 1)
      return unsupported("partial_rotary_factor = " + setting_text(*share), "only 1 is");
  }
  return {};
}

Result<void> read_llama(const json& root, HfConfig& config) {
  COVEY_TRY_VOID(read_common(root, config, "LlamaForCausalLM", false));
  COVEY_TRY(config.width, needed(root, "hidden_size", kWidthMax));
  COVEY_TRY(config.layers, needed(root, "num_hidden_layers", kLayersMax));
  COVEY_TRY(config.heads, needed(root, "num_attention_heads", kWidthMax));
  COVEY_TRY(config.ffn, needed(root, "intermediate_size", kFfnMax));
  COVEY_TRY(config.context, needed(root, "max_position_embeddings", kContextMax));
  COVEY_TRY(const auto kv_heads, find_uint(root, "num_key_value_heads", {1, kWidthMax}));
  config.kv_heads = static_cast<std::uint32_t>(kv_heads.value_or(config.heads));
  COVEY_TRY(const auto epsilon, find_number(root, "rms_norm_eps"));
  config.norm_epsilon = epsilon.value_or(1e-6);
  COVEY_TRY_VOID(read_activation(root, "hidden_act", {"silu", "swish"}));
  COVEY_TRY_VOID(refuse_unless(root, "attention_bias", false));
  COVEY_TRY_VOID(refuse_unless(root, "mlp_bias", false));
  COVEY_TRY(const auto head_width, find_uint(root, "head_dim", {1, kWidthMax}));
  if (head_width.value_or(config.width / config.heads) != config.width / config.heads)
    return unsupported(
        "head_dim = " + std::to_string(*head_width),
        "only hidden_size / num_attention_heads = " + std::to_string(config.width / config.heads) + " is");
  // pretraining_tp splits products that give the same up to rounding: 1 or not, the weights mean the same.
  return read_rope(root, config);
}

}  // namespace

const char* name_of(HfFamily family) { return family == HfFamily::kGpt2 ? "gpt2" : "llama"; }

Result<void> HfConfig::validate() const {
  const auto within = [](const char* name, std::uint64_t value, std::uint64_t max) -> Result<void> {
    if (value >= 1 && value <= max) return {};
    return invalid(std::string(name) + " = " + std::to_string(value) + ": 1 to " + std::to_string(max) +
                   " is possible");
  };
  COVEY_TRY_VOID(within("vocabulary", vocabulary, kVocabularyMax));
  COVEY_TRY_VOID(within("width", width, kWidthMax));
  COVEY_TRY_VOID(within("layers", layers, kLayersMax));
  COVEY_TRY_VOID(within("heads", heads, width));
  COVEY_TRY_VOID(within("key and value heads", kv_heads, heads));
  COVEY_TRY_VOID(within("inner width", ffn, kFfnMax));
  COVEY_TRY_VOID(within("positions", context, kContextMax));
  if (width % heads != 0)
    return invalid("the width " + std::to_string(width) + " is not a multiple of " + std::to_string(heads) +
                   " heads");
  if (heads % kv_heads != 0)
    return invalid(std::to_string(heads) + " heads are not a multiple of " + std::to_string(kv_heads) +
                   " key and value heads");
  if (family == HfFamily::kGpt2 && kv_heads != heads)
    return invalid("gpt2 has as many key and value heads as heads, " + std::to_string(heads));
  if (family == HfFamily::kLlama && head_width() % 2 != 0)
    return invalid("a head's width is " + std::to_string(head_width()) +
                   ", rotary positions need an even one");
  if (!(norm_epsilon > 0 && norm_epsilon < 1))
    return invalid("the norm's epsilon is " + setting_text(norm_epsilon) + ", between 0 and 1 is needed");
  if (!(rope_theta >= 1 && rope_theta <= 1e12))
    return invalid("rope_theta = " + setting_text(rope_theta) + ": 1 to 1e12 is possible");
  if (dtype != FileDType::kF32 && dtype != FileDType::kF16 && dtype != FileDType::kBF16)
    return invalid(std::string("weights are F32, F16 or BF16, not ") + covey::name_of(dtype));
  return {};
}

Result<HfConfig> parse_hf_config(std::string_view text) {
  if (text.size() > kHfConfigBytesMax)
    return invalid("has " + std::to_string(text.size()) + " bytes, at most " +
                   std::to_string(kHfConfigBytesMax) + " are read");
  COVEY_TRY(const json root, parse_json(text, {.depth_max = 16, .values_max = 20'000}));
  if (!root.is_object()) return invalid("the top is no object");
  COVEY_TRY(const auto type, find_text(root, "model_type"));
  HfConfig config;
  if (type == "gpt2") {
    config.family = HfFamily::kGpt2;
    COVEY_TRY_VOID(read_gpt2(root, config));
  } else if (type == "llama") {
    COVEY_TRY_VOID(read_llama(root, config));
  } else {
    return unsupported("model_type = " + shown(type.value_or("")), "\"gpt2\" and \"llama\" are");
  }
  COVEY_TRY_VOID(config.validate());
  return config;
}

std::string to_hf_config(const HfConfig& config) {
  const bool gpt2 = config.family == HfFamily::kGpt2;
  const char* dtype = config.dtype == FileDType::kF16    ? "float16"
                      : config.dtype == FileDType::kBF16 ? "bfloat16"
                                                         : "float32";
  json root = {{"model_type", name_of(config.family)},
               {"architectures", {gpt2 ? "GPT2LMHeadModel" : "LlamaForCausalLM"}},
               {"vocab_size", config.vocabulary},
               {"tie_word_embeddings", config.tied_head},
               {"torch_dtype", dtype},  // 5.x calls it dtype, and reads this name too
               {"use_cache", true}};
  if (gpt2) {
    root.update({{"n_embd", config.width},
                 {"n_layer", config.layers},
                 {"n_head", config.heads},
                 {"n_positions", config.context},
                 {"n_inner", config.ffn},
                 {"layer_norm_epsilon", config.norm_epsilon},
                 {"activation_function", "gelu_new"}});
  } else {
    root.update({{"hidden_size", config.width},
                 {"num_hidden_layers", config.layers},
                 {"num_attention_heads", config.heads},
                 {"num_key_value_heads", config.kv_heads},
                 {"intermediate_size", config.ffn},
                 {"max_position_embeddings", config.context},
                 {"rms_norm_eps", config.norm_epsilon},
                 {"rope_theta", config.rope_theta},
                 {"hidden_act", "silu"},
                 {"attention_bias", false},
                 {"mlp_bias", false}});
  }
  // Absent ones would get transformers' defaults, which are tokens of another vocabulary.
  root["bos_token_id"] = config.begin_token ? json(*config.begin_token) : json();
  root["pad_token_id"] = config.pad_token ? json(*config.pad_token) : json();
  root["eos_token_id"] = config.end_tokens.empty()       ? json()
                         : config.end_tokens.size() == 1 ? json(config.end_tokens[0])
                                                         : json(config.end_tokens);
  return root.dump(2) + "\n";
}

}  // namespace covey
