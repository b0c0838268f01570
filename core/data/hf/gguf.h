// GGUF version 3 (ggml-org/ggml, docs/gguf.md), written for llama.cpp: GPT-2 and Llama.
#pragma once
#include <string>

#include "core/data/hf/hf_folder.h"

namespace covey {

struct GgufWriting {
  HfConfig config;
  const TokenizerSpec* tokenizer = nullptr;  // llama.cpp needs one to run the model
  FileDType dtype = FileDType::kF16;         // of matrices, F32, F16 or BF16; vectors and positions are F32
  std::string name;                          // general.name
};

// Writes the file `path`, whole or not at all (it is written as `path`.partial and renamed). Dimensions lie
// reversed, data at multiples of 32 bytes; rows of Llama's query and key are moved from rotate-half order
// to the order of pairs that llama.cpp turns. Llama's tied head is left out, which llama.cpp takes for the
// embedding; GPT-2's is too (llama.cpp of March 2025 or later).
// Errors: as write_hf's; kUnsupported for a tokenizer with the whole text for one piece and with merges.
Result<void> write_gguf(const std::string& path, const GgufWriting& writing, const HfSource& source);

}  // namespace covey
