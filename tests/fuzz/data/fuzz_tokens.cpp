// A token file from anywhere, and a cursor: the last 33 bytes, as encode() writes one.
#include <cstddef>
#include <cstdint>

#include "core/data/tokens/token_stream.h"
#include "tests/core/base/temporary_folder.h"
#include "tests/fuzz/data/data_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace covey;
  static const TemporaryFolder folder;
  static const PackingSpec packing{5, 1000, TextToken{999}, 4};
  const ByteSpan bytes(data, size);
  const std::string path = folder / "a.tokens";
  write_data_file(path, bytes);
  auto stream = TokenStream::open(path, packing, 1);
  if (!stream) return 0;
  const auto cursor = token_cursor_from(bytes.last(std::min<std::size_t>(size, 33)));
  if (cursor) {
    const auto sought = stream->seek(*cursor);
    COVEY_CHECK(!sought || stream->cursor() == *cursor);
  }
  std::int32_t inputs[5], targets[5];
  for (int i = 0; i < 20 && stream->next(inputs, targets); ++i)
    for (int t = 0; t < 5; ++t)
      COVEY_CHECK(inputs[t] >= 0 && inputs[t] < 1000 && targets[t] >= 0 && targets[t] < 1000);
  const auto loaded = load_tokens(path, packing);
  if (loaded) COVEY_CHECK((*loaded)->size() > 0);
  return 0;
}
