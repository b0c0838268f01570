#include "core/crypto/agreement_key.h"

#include "core/crypto/primitives.h"

namespace covey {

AgreementKey::AgreementKey(Secret<32> secret, const AgreementPublicKey& public_key)
    : secret_(std::move(secret)), public_key_(public_key) {}

AgreementKey AgreementKey::generate(SecureRandom& random) {
  return from_secret(Secret<32>::random(random));
}

AgreementKey AgreementKey::from_secret(Secret<32> secret) {
  const AgreementPublicKey public_key{primitives::x25519_public(secret)};
  return AgreementKey(std::move(secret), public_key);
}

Result<Secret<32>> AgreementKey::shared_secret(const AgreementPublicKey& peer) const {
  std::optional<Secret<32>> shared = primitives::x25519(secret_, peer.bytes);
  if (!shared)
    return unexpected(ErrorCode::kInvalidMessage,
                      "agreement key " + short_hex(peer) + " is a point of small order: refused");
  return std::move(*shared);
}

}  // namespace covey
