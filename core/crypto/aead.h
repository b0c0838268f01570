// Authenticated encryption: XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). Nonces of 24 bytes
// are drawn at random, so that no counter has to survive a restart.
#pragma once
#include <string_view>

#include "core/base/bytes.h"
#include "core/crypto/secret.h"

namespace covey {

// What a sealed text belongs to; opening it elsewhere fails. Not secret, not sent.
struct AeadContext {
  std::string_view domain;  // the purpose, e.g. "secagg share"
  ByteSpan data;            // e.g. the round, the sender and the receiver
};

inline constexpr std::size_t kAeadOverheadBytes = 24 + 16;  // nonce and tag

class Aead {
 public:
  explicit Aead(Secret<32> key) : key_(std::move(key)) {}

  // Nonce, ciphertext, tag.
  Bytes seal(ByteSpan text, const AeadContext& context, SecureRandom& random) const;
  // Errors: kInvalidMessage when it was changed, or sealed under another key or context.
  Result<Bytes> open(ByteSpan sealed, const AeadContext& context) const;

 private:
  Secret<32> key_;
};

}  // namespace covey
