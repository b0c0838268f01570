// Owned and borrowed bytes, and their text forms.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace covey {

using Bytes = std::vector<std::uint8_t>;
using ByteSpan = std::span<const std::uint8_t>;

inline ByteSpan bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view text_of(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A fixed number of bytes with value semantics, distinct per Tag: keys, digests and ids do not mix.
template <std::size_t N, class Tag>
struct FixedBytes {
  static constexpr std::size_t kSize = N;
  std::array<std::uint8_t, N> bytes{};
  auto operator<=>(const FixedBytes&) const = default;
  ByteSpan span() const { return bytes; }
  bool is_zero() const { return *this == FixedBytes{}; }
};

using Digest = FixedBytes<32, struct DigestTag>;    // SHA-256, see core/crypto/digest.h
using PeerKey = FixedBytes<32, struct PeerKeyTag>;  // a peer's CURVE (X25519) public key

std::string hex(ByteSpan bytes);
Result<Bytes> from_hex(std::string_view text);

// URL-safe base64 without padding (RFC 4648, section 5).
std::string base64url(ByteSpan bytes);
Result<Bytes> from_base64url(std::string_view text);

template <class Fixed>
Result<Fixed> fixed_from(ByteSpan bytes) {
  if (bytes.size() != Fixed::kSize)
    return unexpected(ErrorCode::kInvalidData, "expected " + std::to_string(Fixed::kSize) +
                                                   " bytes, got " + std::to_string(bytes.size()));
  Fixed fixed;
  std::copy(bytes.begin(), bytes.end(), fixed.bytes.begin());
  return fixed;
}

template <class Fixed>
Result<Fixed> fixed_from_hex(std::string_view text) {
  COVEY_TRY(Bytes bytes, from_hex(text));
  return fixed_from<Fixed>(bytes);
}

// First 12 hex digits: for logs and tables.
template <std::size_t N, class Tag>
std::string short_hex(const FixedBytes<N, Tag>& value) {
  return hex(value.span().first(6));
}

// std::hash for unordered containers of digests and keys, which are uniform already.
struct FixedBytesHash {
  template <std::size_t N, class Tag>
  std::size_t operator()(const FixedBytes<N, Tag>& value) const {
    std::size_t h = 0;
    for (std::size_t i = 0; i < sizeof h; ++i) h = (h << 8) | value.bytes[i];
    return h;
  }
};

}  // namespace covey
