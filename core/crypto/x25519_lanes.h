// X25519 (RFC 7748, section 5) of one secret with eight public keys at once, in the 52-bit multiplications of AVX-512
// (IFMA). For a coordinator that opened a dropped member's key and agrees with hundreds of its neighbours; everything
// else takes AgreementKey, and the results are the same bits. No branch and no address depends on the secret.
#pragma once
#include <array>
#include <cstdint>
#include <span>

namespace covey::primitives {

inline constexpr std::size_t kX25519Lanes = 8;
using X25519Batch = std::array<std::array<std::uint8_t, 32>, kX25519Lanes>;

// Whether this processor and this build have it.
bool has_x25519_lanes();
// `shared` may be all zero: a point of small order. Only where has_x25519_lanes().
void x25519_lanes(std::span<const std::uint8_t, 32> secret, const X25519Batch& keys, X25519Batch& shared);

}  // namespace covey::primitives
