// A peer's CURVE key pair for ZeroMQ: an X25519 pair, in raw bytes or in Z85.
#pragma once
#include <string>
#include <string_view>

#include "core/base/bytes.h"
#include "core/crypto/secret.h"

namespace covey {

class CurveKey {
 public:
  static CurveKey generate(SecureRandom& random);
  static CurveKey from_secret(Secret<32> secret);
  // 40 characters. Errors: kInvalidData.
  static Result<CurveKey> from_secret_z85(std::string_view text);

  const PeerKey& public_key() const { return public_key_; }
  const Secret<32>& secret() const { return secret_; }
  Secret<40> secret_z85() const;  // characters, without a terminating zero

 private:
  CurveKey(Secret<32> secret, const PeerKey& public_key);
  Secret<32> secret_;
  PeerKey public_key_;
};

std::string z85_of(const PeerKey& key);
// 40 characters. Errors: kInvalidData.
Result<PeerKey> peer_key_from_z85(std::string_view text);

}  // namespace covey
