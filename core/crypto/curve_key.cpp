#include "core/crypto/curve_key.h"

#include "core/crypto/primitives.h"
#include "core/crypto/z85.h"

namespace covey {

CurveKey::CurveKey(Secret<32> secret, const PeerKey& public_key)
    : secret_(std::move(secret)), public_key_(public_key) {}

CurveKey CurveKey::generate(SecureRandom& random) { return from_secret(Secret<32>::random(random)); }

CurveKey CurveKey::from_secret(Secret<32> secret) {
  const PeerKey public_key{primitives::x25519_public(secret)};
  return CurveKey(std::move(secret), public_key);
}

Result<CurveKey> CurveKey::from_secret_z85(std::string_view text) {
  Secret<32> secret;
  COVEY_TRY_VOID(from_z85_into(text, secret.expose()));
  return from_secret(std::move(secret));
}

Secret<40> CurveKey::secret_z85() const {
  Secret<40> text;
  z85_into(secret_.expose(), text.expose());
  return text;
}

std::string z85_of(const PeerKey& key) { return z85(key.span()); }

Result<PeerKey> peer_key_from_z85(std::string_view text) {
  PeerKey key;
  COVEY_TRY_VOID(from_z85_into(text, key.bytes));
  return key;
}

}  // namespace covey
