// The index of a model in several files, from anywhere.
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/data/tensor_files.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace covey;
  const auto index = parse_shard_index(text_of(ByteSpan(data, size)));
  if (!index) {
    COVEY_CHECK(index.error().code == ErrorCode::kInvalidData);
    return 0;
  }
  for (const auto& [tensor, file] : index->files) {
    COVEY_CHECK(file.find('/') == std::string::npos && file.front() != '.');
    COVEY_CHECK(file.ends_with(".safetensors"));
  }
  return 0;
}
