// Keys out of keys: HKDF with SHA-256 (RFC 5869).
#pragma once
#include <string_view>

#include "core/base/bytes.h"
#include "core/crypto/secret.h"

namespace covey {

inline constexpr std::size_t kHkdfBytesMax = 255 * 32;

struct HkdfInput {
  ByteSpan key_material;
  ByteSpan salt;  // empty: 32 zeros
  ByteSpan info;
};
// Extract and expand into `out`, at most kHkdfBytesMax bytes.
void hkdf_sha256(const HkdfInput& input, std::span<std::uint8_t> out);

// An independent key for a purpose and a context, which need not be secret.
template <std::size_t N = 32, std::size_t M>
Secret<N> derive(const Secret<M>& key, std::string_view domain, ByteSpan context = {});

Bytes derivation_info(std::string_view domain, ByteSpan context);

template <std::size_t N, std::size_t M>
Secret<N> derive(const Secret<M>& key, std::string_view domain, ByteSpan context) {
  static_assert(N <= kHkdfBytesMax);
  Secret<N> derived;
  const Bytes info = derivation_info(domain, context);
  hkdf_sha256({key.expose(), {}, info}, derived.expose());
  return derived;
}

}  // namespace covey
