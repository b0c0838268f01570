// Hashes, and the names of blobs and chunks that are made of them.
#pragma once
#include <cstdint>
#include <memory>
#include <span>

#include "core/base/bytes.h"

namespace covey {

// FIPS 180-4.
Digest sha256(ByteSpan bytes);

// SHA-256 over pieces as they come.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(Sha256&&) noexcept;
  Sha256& operator=(Sha256&&) noexcept;
  Sha256& update(ByteSpan bytes);
  Digest finish();  // once; the object is spent

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// RFC 7693, unkeyed, 32 bytes of output.
Digest blake2b_256(ByteSpan bytes);

// SHA-256 of one chunk's bytes.
Digest chunk_digest(ByteSpan chunk);

// The name of a value of `size` bytes, whose chunks of kChunkBytes have these hashes:
// SHA-256 over "covey blob v1", the size as 8 bytes little-endian, and the hashes in order.
Digest blob_id(std::uint64_t size, std::span<const Digest> chunks);

}  // namespace covey
