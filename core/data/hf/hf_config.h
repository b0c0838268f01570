// config.json of Hugging Face's GPT-2 and Llama as a plain value, and the tensors that it calls for, by
// what they do (field names: transformers' GPT2Config and LlamaConfig).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"
#include "core/data/file_dtype.h"

namespace covey {

enum class HfFamily : std::uint8_t { kGpt2, kLlama };
const char* name_of(HfFamily family);  // model_type: "gpt2", "llama"

struct HfConfig {
  HfFamily family = HfFamily::kLlama;
  std::uint32_t vocabulary = 0;  // V
  std::uint32_t width = 0;       // d
  std::uint32_t layers = 0;
  std::uint32_t heads = 0;     // of width / heads each
  std::uint32_t kv_heads = 0;  // gpt2: = heads
  std::uint32_t ffn = 0;       // inner width
  std::uint32_t context = 0;   // positions, T
  double norm_epsilon = 1e-5;
  double rope_theta = 10000;          // llama
  bool tied_head = false;             // the head is the token embedding
  FileDType dtype = FileDType::kF32;  // of the weights: F32, F16 or BF16
  std::optional<std::uint32_t> begin_token, pad_token;
  std::vector<std::uint32_t> end_tokens;
  bool operator==(const HfConfig&) const = default;

  std::uint32_t head_width() const { return width / heads; }
  std::uint32_t kv_width() const { return kv_heads * head_width(); }
  // Errors: kInvalidData naming the field, its value and the bound.
  Result<void> validate() const;
};

inline constexpr std::size_t kHfConfigBytesMax = 1 << 20;
// Dropout rates are not read: they are the job's. Errors: kInvalidData (structure, a missing field, out
// of bounds), kUnsupported naming the field (another model_type, rope scaling, biases in Llama, sliding
// windows, quantisation, another activation, heads of a width of their own).
Result<HfConfig> parse_hf_config(std::string_view json);
// `config` is valid. Spelled so that transformers 4.x and 5.x both read it.
std::string to_hf_config(const HfConfig& config);

// clang-format off
enum class TensorRole : std::uint8_t {
  kTokenEmbedding, kPositionEmbedding,                       // [V, d], [T, d]
  kAttentionNorm, kAttentionNormBias,                        // [d]
  kQuery, kQueryBias, kKey, kKeyBias, kValue, kValueBias,    // [d, d], [kv_width, d] twice
  kAttentionOut, kAttentionOutBias,                          // [d, d]
  kFfnNorm, kFfnNormBias,                                    // [d]
  kFfnGate, kFfnUp, kFfnUpBias, kFfnDown, kFfnDownBias,      // [ffn, d] twice, [d, ffn]
  kFinalNorm, kFinalNormBias,                                // [d]
  kHead,                                                     // [V, d], where it is not tied
};
// clang-format on
const char* name_of(TensorRole role);  // "query", "ffn_up_bias" ...

// One tensor of a model, as the engine wants it: matrices [out, in], query, key and value apart. Rows of
// Llama's query and key are in the order of rotate-half rotary positions, as transformers stores them.
struct HfPart {
  TensorRole role = TensorRole::kTokenEmbedding;
  std::uint32_t layer = 0;  // 0 for those outside the layers
  std::vector<std::uint64_t> shape;
  bool operator==(const HfPart&) const = default;
  std::uint64_t elements() const;
};
// All of a valid configuration's, from the embedding to the head.
std::vector<HfPart> hf_parts(const HfConfig& config);

// Where a part lies in transformers' files.
struct HfPlace {
  std::string name;             // without the model's prefix, e.g. "h.0.attn.c_attn.weight"
  bool transposed = false;      // GPT-2's Conv1D: stored [in, out]
  std::uint64_t first_row = 0;  // of [out, in]: key and value of GPT-2 lie below its query
  std::uint64_t rows = 0;       // of the stored tensor, as [out, in]; a vector's length
};
HfPlace place_of(const HfConfig& config, const HfPart& part);
// The tensor's whole name as transformers writes it: "transformer.h.0.attn.c_attn.weight", "lm_head.weight".
std::string stored_name(const HfConfig& config, const HfPlace& place);

}  // namespace covey
