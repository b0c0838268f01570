// X25519 key agreement (RFC 7748): two parties reach one secret over a public channel.
#pragma once
#include <span>
#include <vector>

#include "core/base/bytes.h"
#include "core/crypto/secret.h"

namespace covey {

using AgreementPublicKey = FixedBytes<32, struct AgreementPublicKeyTag>;

class AgreementKey {
 public:
  static AgreementKey generate(SecureRandom& random);
  static AgreementKey from_secret(Secret<32> secret);

  const AgreementPublicKey& public_key() const { return public_key_; }
  // Both sides get the same 32 bytes. They are no uniform key yet: put them through derive().
  // Errors: kInvalidMessage if the peer's key is a point of small order (all-zero result).
  Result<Secret<32>> shared_secret(const AgreementPublicKey& peer) const;
  // The same with many, in their order; several times as fast where the processor has it (x25519_lanes.h). Errors: as
  // above, for the first such key.
  Result<std::vector<Secret<32>>> shared_secrets(std::span<const AgreementPublicKey> peers) const;
  const Secret<32>& secret() const { return secret_; }

 private:
  AgreementKey(Secret<32> secret, const AgreementPublicKey& public_key);
  Secret<32> secret_;
  AgreementPublicKey public_key_;
};

}  // namespace covey
