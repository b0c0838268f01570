// A model in files: as `covey pull` or `covey export` left it, or a folder of transformers.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/data/bpe/tokenizer.h"
#include "core/data/hf/hf_config.h"
#include "core/protocol/job_spec.h"

namespace covey::cli {

struct ModelSource {
  std::string model;          // a folder, or a safetensors file
  std::string adapter;        // folder of a PEFT adapter, merged into the model; empty: none
  std::string tokenizer;      // tokenizer.json or its folder; empty: the one in the model's folder, if there is
  std::uint32_t context = 0;  // tokens of a window, of a folder of transformers; 0: its own, at most kContextDefault
};
inline constexpr std::uint32_t kContextDefault = 1024;

struct LoadedModel {
  JobSpec spec;
  std::vector<float> parameters;
  std::optional<HfConfig> config;              // of a folder of transformers
  std::shared_ptr<const Tokenizer> tokenizer;  // shared: with the data that it encodes; null: bytes
  std::string tokenizer_sha256, tokenizer_text;  // of its file; empty without
  std::optional<HfConfig> tokenizer_config;      // of the folder that it came from, where that is one of transformers
};
// Errors name the path; kInvalidData for another tokenizer than the one that the model's job pins.
Result<LoadedModel> load_model(const ModelSource& source);

}  // namespace covey::cli
