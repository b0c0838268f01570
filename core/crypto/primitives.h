// The bare algorithms, exactly as their specifications define them, without domain separation.
// For this folder and its known-answer tests; everything else takes SigningKey, Aead and the rest.
#pragma once
#include <optional>

#include "core/base/bytes.h"
#include "core/crypto/secret.h"

namespace covey::primitives {

using Bytes32 = std::array<std::uint8_t, 32>;
using Bytes64 = std::array<std::uint8_t, 64>;

// Ed25519 (RFC 8032, section 5.1). `pair` is the seed followed by the public key.
struct Ed25519Pair {
  Bytes32 public_key{};
  Secret<64> pair;
};
Ed25519Pair ed25519_pair(std::span<const std::uint8_t, 32> seed);
Bytes64 ed25519_sign(const Secret<64>& pair, ByteSpan message);
// Also refuses keys of small order and signatures that are not in their canonical form.
bool ed25519_verify(std::span<const std::uint8_t, 32> public_key, ByteSpan message,
                    std::span<const std::uint8_t, 64> signature);

// X25519 (RFC 7748, section 5). Nothing when the result is all zero: a point of small order.
Bytes32 x25519_public(const Secret<32>& secret);
std::optional<Secret<32>> x25519(const Secret<32>& secret,
                                 std::span<const std::uint8_t, 32> public_key);

// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). Sealed: ciphertext, then the 16-byte tag.
inline constexpr std::size_t kXchachaNonceBytes = 24;
inline constexpr std::size_t kXchachaTagBytes = 16;
struct XchachaInput {
  std::span<const std::uint8_t, kXchachaNonceBytes> nonce;
  ByteSpan associated;
  ByteSpan text;
};
Bytes xchacha_seal(const Secret<32>& key, const XchachaInput& input);
std::optional<Bytes> xchacha_open(const Secret<32>& key, const XchachaInput& input);

// BLAKE2b (RFC 7693), unkeyed, 32 bytes of output.
Bytes32 blake2b_256(ByteSpan bytes);

}  // namespace covey::primitives
