// A Hugging Face folder of a GPT-2 or a Llama: config.json, weights in safetensors, tokenizer.json. Read and
// written a tensor at a time; what is written opens in `transformers`.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/data/bpe/tokenizer.h"
#include "core/data/hf/hf_config.h"
#include "core/data/tensor_files.h"

namespace covey {

class HfFolder {
 public:
  // Errors, each with the file's path: kNotFound; kInvalidData and kUnsupported (hf_config.h); kInvalidData
  // for a tensor that is missing, of another shape than the configuration's, or that no part calls for
  // (buffers of older versions are left out: GPT-2's attention masks, Llama's rotary frequencies, a tied
  // head written out).
  static Result<HfFolder> open(const std::string& folder);
  const HfConfig& config() const { return config_; }
  const std::vector<HfPart>& parts() const { return parts_; }

  // One of parts(), row-major, f32. Errors: kInvalidData (NaN or infinity; a file that changed).
  Result<std::vector<float>> read(const HfPart& part) const;
  // Of tokenizer.json; nothing where there is none. Errors: tokenizer.h.
  Result<std::optional<TokenizerSpec>> tokenizer() const;

 private:
  HfFolder(std::string folder, HfConfig config, TensorFolder tensors);
  Result<void> check_tensors();
  std::string full_name(const HfPlace& place) const;
  std::string folder_;
  HfConfig config_;
  std::vector<HfPart> parts_;
  TensorFolder tensors_;
  bool prefixed_ = true;  // names begin with "transformer." or "model."
};

// The f32 values of a part, asked for once each. Embedding and head may have more rows than the
// vocabulary (padding): those are cut.
using HfSource = std::function<Result<std::vector<float>>(const HfPart& part)>;
// The source's values of a part, without padding. Errors: the source's; kInvalidArgument for another count.
Result<std::vector<float>> values_of(const HfPart& part, const HfSource& source);
struct HfWriting {
  HfConfig config;
  const TokenizerSpec* tokenizer = nullptr;  // none: no tokenizer.json
  std::uint64_t file_bytes_max = 5'000'000'000;
  std::string tokenizer_text = {};           // of its tokenizer.json, which goes along byte for byte; empty: written anew
};
// Makes `folder`, whole or not at all: it is written beside, as `folder`.partial, and then renamed.
// Errors: of the source and its values' count (kInvalidArgument); kInvalidData (the configuration, or a
// tokenizer with more tokens than its vocabulary); kAlreadyExists; kDiskFull and the like.
Result<void> write_hf(const std::string& folder, const HfWriting& writing, const HfSource& source);

}  // namespace covey
