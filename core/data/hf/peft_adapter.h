// LoRA adapters (Hu et al. 2021) in PEFT's layout: adapter_config.json and adapter_model.safetensors.
#pragma once
#include <string>
#include <vector>

#include "core/data/hf/hf_config.h"

namespace covey {

// Query, key, value and gate are Llama's; GPT-2 has the three as one product, rows as query, key, value.
enum class LoraModule : std::uint8_t {
  kQuery,
  kKey,
  kValue,
  kQueryKeyValue,
  kAttentionOut,
  kFfnGate,
  kFfnUp,
  kFfnDown,
};
const char* name_of(LoraModule module);  // "query", "ffn_up" ...

// Adds scale() B A to the module's weight [out, in].
struct LoraPart {
  std::uint32_t layer = 0;
  LoraModule module = LoraModule::kQuery;
  std::vector<float> a;  // [rank, in]
  std::vector<float> b;  // [out, rank]
  bool operator==(const LoraPart&) const = default;
};
struct LoraAdapter {
  std::string base_model;  // its name or folder; may be empty
  std::uint32_t rank = 8;
  double alpha = 8;
  bool rank_stabilised = false;  // scale by the root of the rank (Kalajdzievski 2023)
  double dropout = 0;            // in training
  std::vector<LoraPart> parts;   // by layer, then module; each once
  bool operator==(const LoraAdapter&) const = default;
  double scale() const;
};

// The linear layer's name, as our parameters and transformers' have it: "transformer.h.0.attn.c_attn".
// The family has such a module.
std::string layer_name(const HfConfig& config, const LoraPart& part);

struct LoraSize {
  std::uint64_t out = 0, in = 0;
};
// Of the module's weight; out = 0 where the family has no such module.
LoraSize lora_size(const HfConfig& config, LoraModule module);

// `config`: of the model that it adapts. Errors, with the file's path: kNotFound; kInvalidData (structure,
// a tensor of another shape, an A without its B, NaN); kUnsupported naming the setting (another peft_type,
// DoRA, biases, modules to save, patterns of ranks, an adapted embedding).
Result<LoraAdapter> read_peft(const std::string& folder, const HfConfig& config);
// Makes `folder`. Errors: kInvalidArgument (a part of another size, twice, or none), kAlreadyExists,
// kDiskFull and the like.
Result<void> write_peft(const std::string& folder, const HfConfig& config, const LoraAdapter& adapter);

// adapter_config.json alone; `parts` stays empty.
Result<LoraAdapter> parse_adapter_config(std::string_view json);

}  // namespace covey
