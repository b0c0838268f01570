#include "core/crypto/digest.h"

#include <openssl/evp.h>

#include "core/base/wire.h"
#include "core/crypto/primitives.h"

namespace covey {
namespace {

// Looked up once: OpenSSL 3 searches its providers on every implicit fetch. OpenSSL rather than
// libsodium, because it uses the processor's SHA instructions.
const EVP_MD* sha256_algorithm() {
  static const EVP_MD* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  COVEY_CHECK(algorithm != nullptr);
  return algorithm;
}

}  // namespace

struct Sha256::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  ~State() { EVP_MD_CTX_free(context); }
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  COVEY_CHECK(state_->context != nullptr);
  COVEY_CHECK(EVP_DigestInit_ex(state_->context, sha256_algorithm(), nullptr) == 1);
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

Sha256& Sha256::update(ByteSpan bytes) {
  COVEY_CHECK(state_ != nullptr);
  COVEY_CHECK(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()) == 1);
  return *this;
}

Digest Sha256::finish() {
  COVEY_CHECK(state_ != nullptr);
  Digest digest;
  COVEY_CHECK(EVP_DigestFinal_ex(state_->context, digest.bytes.data(), nullptr) == 1);
  state_.reset();
  return digest;
}

Digest sha256(ByteSpan bytes) { return Sha256().update(bytes).finish(); }

Digest blake2b_256(ByteSpan bytes) { return Digest{primitives::blake2b_256(bytes)}; }

Digest chunk_digest(ByteSpan chunk) { return sha256(chunk); }

Digest blob_id(std::uint64_t size, std::span<const Digest> chunks) {
  Sha256 hash;
  hash.update(ByteWriter().raw(bytes_of("covey blob v1")).u64(size).bytes());
  for (const Digest& chunk : chunks) hash.update(chunk.span());
  return hash.finish();
}

}  // namespace covey
