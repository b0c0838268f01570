// A tokenizer.json from anywhere: what is accepted encodes and decodes any bytes, and is written as it is.
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/data/bpe/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace covey;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto spec = parse_tokenizer_json(text);
  if (!spec) return 0;
  const auto tokenizer = Tokenizer::make(*spec);
  if (!tokenizer) return 0;
  const auto again = parse_tokenizer_json(to_tokenizer_json(*spec));
  COVEY_CHECK(again.has_value() && *again == *spec);
  TokenEncoder encoder(*tokenizer);
  const std::string_view sample = text.substr(size / 2);
  const auto decoded = tokenizer->decode(encoder.encode(sample), Tokenizer::Specials::kKeep);
  COVEY_CHECK(decoded.has_value());
  if (!spec->prefix_space) COVEY_CHECK(*decoded == sample);
  return 0;
}
