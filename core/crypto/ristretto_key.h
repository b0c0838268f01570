// Key agreement on ristretto255 (RFC 9496) with a proof: the holder of a pair can show what it agreed
// on with a peer, without giving its key away (Chaum and Pedersen 1992, made non-interactive).
#pragma once
#include <string_view>

#include "core/base/bytes.h"
#include "core/crypto/secret.h"

namespace covey {

using RistrettoPoint = FixedBytes<32, struct RistrettoPointTag>;
using AgreementProof = FixedBytes<64, struct AgreementProofTag>;  // challenge and response

class RistrettoKey {
 public:
  static RistrettoKey generate(SecureRandom& random);

  const RistrettoPoint& public_key() const { return public_key_; }
  // Both sides get the same point. No uniform key yet: put it through derive() or hkdf_sha256().
  // Errors: kInvalidMessage if the peer's key is no point or the identity.
  Result<Secret<32>> shared_point(const RistrettoPoint& peer) const;
  // Shows that shared_point(peer) is what verify_agreement() is told. `domain` and `context` bind the
  // proof to its purpose. Errors: as above.
  Result<AgreementProof> prove(const RistrettoPoint& peer, std::string_view domain, ByteSpan context,
                               SecureRandom& random) const;

 private:
  RistrettoKey(Secret<32> scalar, const RistrettoPoint& public_key);
  Secret<32> scalar_;
  RistrettoPoint public_key_;
};

struct AgreementClaim {
  RistrettoPoint public_key;  // the prover's
  RistrettoPoint peer;
  RistrettoPoint shared;
};
[[nodiscard]] bool verify_agreement(const AgreementClaim& claim, std::string_view domain, ByteSpan context,
                                    const AgreementProof& proof);

}  // namespace covey
