// JSON lines from anywhere.
#include <cstddef>
#include <cstdint>

#include "core/data/jsonl.h"
#include "tests/core/base/temporary_folder.h"
#include "tests/fuzz/data/data_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace covey;
  static const TemporaryFolder folder;
  const std::string path = folder / "a.jsonl";
  write_data_file(path, ByteSpan(data, size));
  std::uint64_t taken = 0;
  const auto count = for_each_document(path, {"text", 5, 300}, [&](std::string_view text) {
    ++taken;
    COVEY_CHECK(text.size() <= 300);
    return Result<void>();
  });
  if (count) COVEY_CHECK(count->documents == taken && count->damaged <= 5);
  return 0;
}
