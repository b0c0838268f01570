#include "core/crypto/memory_hard.h"

#include <sodium.h>

#include "core/base/check.h"

namespace covey {

Result<Digest> memory_hard_hash(ByteSpan input, const MemoryHardSalt& salt) {
  constexpr unsigned long long kPasses = 3;
  constexpr std::size_t kMemoryBytes = 64 * 1024 * 1024;
  static_assert(MemoryHardSalt::kSize == crypto_pwhash_SALTBYTES);
  COVEY_CHECK(sodium_init() >= 0);
  Digest digest;
  if (crypto_pwhash(digest.bytes.data(), digest.bytes.size(), reinterpret_cast<const char*>(input.data()), input.size(),
                    salt.bytes.data(), kPasses, kMemoryBytes, crypto_pwhash_ALG_ARGON2ID13) != 0)
    return unexpected(ErrorCode::kResourceExhausted, "the ring's order needs 64 MiB of memory for a moment: none was free");
  return digest;
}

}  // namespace covey
