#include "core/crypto/signing_key.h"

#include "core/base/wire.h"
#include "core/crypto/primitives.h"

namespace covey {
namespace {

Bytes in_domain(std::string_view domain, ByteSpan message) {
  return ByteWriter().raw(bytes_of("covey signature v1")).text(domain).raw(message).take();
}

}  // namespace

SigningKey::SigningKey(Secret<32> seed, Secret<64> pair, const VerifyKey& public_key)
    : seed_(std::move(seed)), pair_(std::move(pair)), public_key_(public_key) {}

SigningKey SigningKey::generate(SecureRandom& random) {
  return from_seed(Secret<32>::random(random));
}

SigningKey SigningKey::from_seed(Secret<32> seed) {
  primitives::Ed25519Pair made = primitives::ed25519_pair(seed.expose());
  return SigningKey(std::move(seed), std::move(made.pair), VerifyKey{made.public_key});
}

Signature SigningKey::sign(std::string_view domain, ByteSpan message) const {
  return Signature{primitives::ed25519_sign(pair_, in_domain(domain, message))};
}

bool verify(const VerifyKey& key, std::string_view domain, ByteSpan message,
            const Signature& signature) {
  return primitives::ed25519_verify(key.bytes, in_domain(domain, message), signature.bytes);
}

}  // namespace covey
