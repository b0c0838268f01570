// The manifest of a model, as a peer serves it.
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/protocol/manifest.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const covey::ByteSpan input(data, size);
  const auto manifest = covey::decode_manifest(input);
  if (manifest) {
    COVEY_CHECK(covey::parameter_table(manifest->spec).shards.size() == manifest->shards.size());
    COVEY_CHECK(covey::encode(*manifest) == covey::Bytes(input.begin(), input.end()));
  }
  const auto floats = covey::floats_of_bytes(input);
  COVEY_CHECK(floats.has_value() == (size % 4 == 0));
  return 0;
}
