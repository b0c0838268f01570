#include "core/crypto/primitives.h"

#include <sodium.h>

namespace covey::primitives {
namespace {

// Picks libsodium's implementations for this processor; harmless when repeated, but asked once.
void require_sodium() {
  static const int outcome = sodium_init();
  COVEY_CHECK(outcome >= 0);
}

}  // namespace

Ed25519Pair ed25519_pair(std::span<const std::uint8_t, 32> seed) {
  require_sodium();
  Ed25519Pair made;
  const int outcome = crypto_sign_ed25519_seed_keypair(made.public_key.data(),
                                                       made.pair.expose().data(), seed.data());
  COVEY_CHECK(outcome == 0);
  return made;
}

Bytes64 ed25519_sign(const Secret<64>& pair, ByteSpan message) {
  require_sodium();
  Bytes64 signature{};
  const int outcome = crypto_sign_ed25519_detached(signature.data(), nullptr, message.data(),
                                                   message.size(), pair.expose().data());
  COVEY_CHECK(outcome == 0);
  return signature;
}

bool ed25519_verify(std::span<const std::uint8_t, 32> public_key, ByteSpan message,
                    std::span<const std::uint8_t, 64> signature) {
  require_sodium();
  return crypto_sign_ed25519_verify_detached(signature.data(), message.data(), message.size(),
                                             public_key.data()) == 0;
}

Bytes32 x25519_public(const Secret<32>& secret) {
  require_sodium();
  Bytes32 key{};
  COVEY_CHECK(crypto_scalarmult_curve25519_base(key.data(), secret.expose().data()) == 0);
  return key;
}

std::optional<Secret<32>> x25519(const Secret<32>& secret,
                                 std::span<const std::uint8_t, 32> public_key) {
  require_sodium();
  Secret<32> shared;
  // libsodium says -1 for the all-zero result; asked again here, as RFC 7748 section 6.1 wants it.
  if (crypto_scalarmult_curve25519(shared.expose().data(), secret.expose().data(),
                                   public_key.data()) != 0)
    return std::nullopt;
  if (sodium_is_zero(shared.expose().data(), shared.kSize) == 1) return std::nullopt;
  return shared;
}

Bytes xchacha_seal(const Secret<32>& key, const XchachaInput& input) {
  require_sodium();
  Bytes sealed(input.text.size() + kXchachaTagBytes);
  const int outcome = crypto_aead_xchacha20poly1305_ietf_encrypt(
      sealed.data(), nullptr, input.text.data(), input.text.size(), input.associated.data(),
      input.associated.size(), nullptr, input.nonce.data(), key.expose().data());
  COVEY_CHECK(outcome == 0);
  return sealed;
}

std::optional<Bytes> xchacha_open(const Secret<32>& key, const XchachaInput& input) {
  require_sodium();
  if (input.text.size() < kXchachaTagBytes) return std::nullopt;
  Bytes text(input.text.size() - kXchachaTagBytes);
  if (crypto_aead_xchacha20poly1305_ietf_decrypt(text.data(), nullptr, nullptr, input.text.data(),
                                                 input.text.size(), input.associated.data(),
                                                 input.associated.size(), input.nonce.data(),
                                                 key.expose().data()) != 0)
    return std::nullopt;
  return text;
}

Bytes32 blake2b_256(ByteSpan bytes) {
  require_sodium();
  Bytes32 digest{};
  COVEY_CHECK(crypto_generichash_blake2b(digest.data(), digest.size(), bytes.data(), bytes.size(),
                                         nullptr, 0) == 0);
  return digest;
}

}  // namespace covey::primitives
