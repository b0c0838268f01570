// A tokenizer.json at a site, and whether it is the one that a job pins.
#pragma once
#include <memory>
#include <string>

#include "core/data/bpe/tokenizer.h"
#include "core/spec/data_spec.h"

namespace covey {

struct TokenizerFile {
  std::string path;
  std::string sha256;  // of the file, hex
  std::string text;    // the file
  std::shared_ptr<const Tokenizer> tokenizer;  // shared: by the data it encodes and by what decodes
};

// `given`, a file or a folder with tokenizer.json in it; empty: tokenizer.json in the folder `beside`; "" where there
// is none.
std::string tokenizer_path(const std::string& given, const std::string& beside);

// Errors: kNotFound; those of parse_tokenizer_json, with the path.
Result<TokenizerFile> read_tokenizer(const std::string& path);

// The tokenizer that `data` pin, from tokenizer_path(given, beside), of token files the one beside them first; null
// where they pin none. Errors: read_tokenizer's;
// kNotFound where there is no file; kInvalidData for a file of another hash, with both.
Result<std::shared_ptr<const Tokenizer>> pinned_tokenizer(const DataSpec& data, const std::string& given,
                                                          const std::string& beside);

}  // namespace covey
