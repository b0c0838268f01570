// Which tensors a model has, and where transformers keeps them (the second half of hf_config.h).
#include <array>

#include "core/base/check.h"
#include "core/data/hf/hf_config.h"

namespace covey {
namespace {

enum class Size : std::uint8_t { kNone, kVocabulary, kContext, kWidth, kKv, kFfn };
enum class Zone : std::uint8_t { kBefore, kLayer, kAfter };

// One row a role. An empty name: the family has no such tensor. `rows` and `columns` of [out, in].
struct Row {
  TensorRole role;
  const char* name;
  Zone zone;
  Size rows, columns;
  const char* gpt2;
  const char* llama;
};
using enum Size;
// clang-format off
constexpr auto kRows = std::to_array<Row>({
    {TensorRole::kTokenEmbedding, "token_embedding", Zone::kBefore, kVocabulary, kWidth, "wte.weight", "embed_tokens.weight"},
    {TensorRole::kPositionEmbedding, "position_embedding", Zone::kBefore, kContext, kWidth, "wpe.weight", ""},
    {TensorRole::kAttentionNorm, "attention_norm", Zone::kLayer, kWidth, kNone, "ln_1.weight", "input_layernorm.weight"},
    {TensorRole::kAttentionNormBias, "attention_norm_bias", Zone::kLayer, kWidth, kNone, "ln_1.bias", ""},
    {TensorRole::kQuery, "query", Zone::kLayer, kWidth, kWidth, "attn.c_attn.weight", "self_attn.q_proj.weight"},
    {TensorRole::kQueryBias, "query_bias", Zone::kLayer, kWidth, kNone, "attn.c_attn.bias", ""},
    {TensorRole::kKey, "key", Zone::kLayer, kKv, kWidth, "attn.c_attn.weight", "self_attn.k_proj.weight"},
    {TensorRole::kKeyBias, "key_bias", Zone::kLayer, kKv, kNone, "attn.c_attn.bias", ""},
    {TensorRole::kValue, "value", Zone::kLayer, kKv, kWidth, "attn.c_attn.weight", "self_attn.v_proj.weight"},
    {TensorRole::kValueBias, "value_bias", Zone::kLayer, kKv, kNone, "attn.c_attn.bias", ""},
    {TensorRole::kAttentionOut, "attention_out", Zone::kLayer, kWidth, kWidth, "attn.c_proj.weight", "self_attn.o_proj.weight"},
    {TensorRole::kAttentionOutBias, "attention_out_bias", Zone::kLayer, kWidth, kNone, "attn.c_proj.bias", ""},
    {TensorRole::kFfnNorm, "ffn_norm", Zone::kLayer, kWidth, kNone, "ln_2.weight", "post_attention_layernorm.weight"},
    {TensorRole::kFfnNormBias, "ffn_norm_bias", Zone::kLayer, kWidth, kNone, "ln_2.bias", ""},
    {TensorRole::kFfnGate, "ffn_gate", Zone::kLayer, kFfn, kWidth, "", "mlp.gate_proj.weight"},
    {TensorRole::kFfnUp, "ffn_up", Zone::kLayer, kFfn, kWidth, "mlp.c_fc.weight", "mlp.up_proj.weight"},
    {TensorRole::kFfnUpBias, "ffn_up_bias", Zone::kLayer, kFfn, kNone, "mlp.c_fc.bias", ""},
    {TensorRole::kFfnDown, "ffn_down", Zone::kLayer, kWidth, kFfn, "mlp.c_proj.weight", "mlp.down_proj.weight"},
    {TensorRole::kFfnDownBias, "ffn_down_bias", Zone::kLayer, kWidth, kNone, "mlp.c_proj.bias", ""},
    {TensorRole::kFinalNorm, "final_norm", Zone::kAfter, kWidth, kNone, "ln_f.weight", "norm.weight"},
    {TensorRole::kFinalNormBias, "final_norm_bias", Zone::kAfter, kWidth, kNone, "ln_f.bias", ""},
    {TensorRole::kHead, "head", Zone::kAfter, kVocabulary, kWidth, "lm_head.weight", "lm_head.weight"},
});
// clang-format on

const Row& row_of(TensorRole role) {
  for (const Row& row : kRows)
    if (row.role == role) return row;
  COVEY_CHECK(!"a role without its row");
  return kRows[0];
}

std::uint64_t length_of(const HfConfig& config, Size size) {
  switch (size) {
    case kVocabulary:
      return config.vocabulary;
    case kContext:
      return config.context;
    case kWidth:
      return config.width;
    case kKv:
      return config.kv_width();
    case kFfn:
      return config.ffn;
    case kNone:
      break;
  }
  return 1;
}

std::string_view file_name(const HfConfig& config, const Row& row) {
  return config.family == HfFamily::kGpt2 ? row.gpt2 : row.llama;
}

bool has(const HfConfig& config, const Row& row) {
  return !file_name(config, row).empty() && !(row.role == TensorRole::kHead && config.tied_head);
}

HfPart part_of(const HfConfig& config, const Row& row, std::uint32_t layer) {
  HfPart part{row.role, layer, {length_of(config, row.rows)}};
  if (row.columns != kNone) part.shape.push_back(length_of(config, row.columns));
  return part;
}

}  // namespace

const char* name_of(TensorRole role) { return row_of(role).name; }

std::uint64_t HfPart::elements() const {
  std::uint64_t count = 1;
  for (const std::uint64_t length : shape) count *= length;  // of a valid configuration: below 2^60
  return count;
}

std::vector<HfPart> hf_parts(const HfConfig& config) {
  std::vector<HfPart> parts;
  const auto add = [&](Zone zone, std::uint32_t layer) {
    for (const Row& row : kRows)
      if (row.zone == zone && has(config, row)) parts.push_back(part_of(config, row, layer));
  };
  add(Zone::kBefore, 0);
  for (std::uint32_t layer = 0; layer < config.layers; ++layer) add(Zone::kLayer, layer);
  add(Zone::kAfter, 0);
  return parts;
}

HfPlace place_of(const HfConfig& config, const HfPart& part) {
  const Row& row = row_of(part.role);
  COVEY_CHECK(has(config, row));
  const bool gpt2 = config.family == HfFamily::kGpt2;
  HfPlace place;
  place.rows = part.shape[0];
  if (row.zone == Zone::kLayer) place.name = (gpt2 ? "h." : "layers.") + std::to_string(part.layer) + ".";
  place.name += file_name(config, row);
  if (!gpt2 || row.zone != Zone::kLayer) return place;
  place.transposed = row.columns != kNone;  // Conv1D
  if (part.role >= TensorRole::kQuery && part.role <= TensorRole::kValueBias) {
    const auto nth =
        (static_cast<std::uint64_t>(part.role) - static_cast<std::uint64_t>(TensorRole::kQuery)) / 2;
    place.first_row = nth * config.width;
    place.rows = std::uint64_t{3} * config.width;
  }
  return place;
}

std::string stored_name(const HfConfig& config, const HfPlace& place) {
  if (place.name == "lm_head.weight") return place.name;
  return (config.family == HfFamily::kGpt2 ? "transformer." : "model.") + place.name;
}

}  // namespace covey
