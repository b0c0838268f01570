// Ed25519 signatures (RFC 8032) under a domain: a signature made for one purpose never verifies
// for another.
#pragma once
#include <string_view>

#include "core/base/bytes.h"
#include "core/crypto/secret.h"

namespace covey {

using VerifyKey = FixedBytes<32, struct VerifyKeyTag>;
using Signature = FixedBytes<64, struct SignatureTag>;

class SigningKey {
 public:
  static SigningKey generate(SecureRandom& random);
  static SigningKey from_seed(Secret<32> seed);

  const VerifyKey& public_key() const { return public_key_; }
  // Signs "covey signature v1", the domain with its length, and the message.
  Signature sign(std::string_view domain, ByteSpan message) const;
  const Secret<32>& seed() const { return seed_; }  // for a key file

 private:
  SigningKey(Secret<32> seed, Secret<64> pair, const VerifyKey& public_key);
  Secret<32> seed_;
  Secret<64> pair_;
  VerifyKey public_key_;
};

// False for a wrong signature, a changed message, another domain, or a weak key.
[[nodiscard]] bool verify(const VerifyKey& key, std::string_view domain, ByteSpan message,
                          const Signature& signature);

}  // namespace covey
