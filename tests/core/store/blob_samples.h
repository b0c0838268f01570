// Values of any length, and their chunks.
#pragma once
#include "core/base/random.h"
#include "core/store/blobs.h"
#include "core/crypto/digest.h"

namespace covey {

inline Bytes blob_value(std::size_t bytes, std::uint64_t seed = 1) {
  Random random(seed);
  Bytes value(bytes);
  for (std::uint8_t& byte : value) byte = static_cast<std::uint8_t>(random.next() >> 56);
  return value;
}

inline ByteSpan chunk_of(const Bytes& value, std::size_t index) {
  const std::size_t start = index * kChunkBytes;
  return ByteSpan(value).subspan(start, std::min(kChunkBytes, value.size() - start));
}

struct BlobPlan {
  BlobRef blob;
  std::vector<Digest> hashes;
};
inline BlobPlan plan_of(const Bytes& value) {
  BlobPlan plan;
  for (std::size_t i = 0; i < chunk_count(value.size()); ++i) plan.hashes.push_back(chunk_digest(chunk_of(value, i)));
  plan.blob = {blob_id(value.size(), plan.hashes), value.size()};
  return plan;
}

}  // namespace covey
