#include "core/crypto/ristretto_key.h"

#include <sodium.h>

#include "core/base/check.h"
#include "core/base/wire.h"

namespace covey {
namespace {

using Scalar = Secret<crypto_core_ristretto255_SCALARBYTES>;

void ready() {
  static const int started = sodium_init();
  COVEY_CHECK(started >= 0);
}

// Uniform below the group's order, out of 64 random bytes.
Scalar random_scalar(SecureRandom& random) {
  Secret<64> wide = Secret<64>::random(random);
  Scalar scalar;
  crypto_core_ristretto255_scalar_reduce(scalar.expose().data(), wide.expose().data());
  return scalar;
}

using Hashed = FixedBytes<32, struct HashedTag>;

struct Commitments {
  RistrettoPoint base;  // k G
  RistrettoPoint peer;  // k P
};

Hashed challenge_of(const AgreementClaim& claim, const Commitments& made, std::string_view domain, ByteSpan context) {
  ByteWriter in;
  in.text("covey agreement proof v1").text(domain).blob(context);
  in.fixed(claim.public_key).fixed(claim.peer).fixed(claim.shared).fixed(made.base).fixed(made.peer);
  std::array<std::uint8_t, 64> wide{};
  COVEY_CHECK(crypto_generichash(wide.data(), wide.size(), in.bytes().data(), in.bytes().size(), nullptr, 0) == 0);
  Hashed challenge;
  crypto_core_ristretto255_scalar_reduce(challenge.bytes.data(), wide.data());
  return challenge;
}

bool multiply(RistrettoPoint& out, std::span<const std::uint8_t, 32> scalar, const RistrettoPoint& point) {
  return crypto_scalarmult_ristretto255(out.bytes.data(), scalar.data(), point.bytes.data()) == 0;
}
bool multiply_base(RistrettoPoint& out, std::span<const std::uint8_t, 32> scalar) {
  return crypto_scalarmult_ristretto255_base(out.bytes.data(), scalar.data()) == 0;
}
bool subtract(RistrettoPoint& out, const RistrettoPoint& a, const RistrettoPoint& b) {
  return crypto_core_ristretto255_sub(out.bytes.data(), a.bytes.data(), b.bytes.data()) == 0;
}

}  // namespace

RistrettoKey::RistrettoKey(Secret<32> scalar, const RistrettoPoint& public_key)
    : scalar_(std::move(scalar)), public_key_(public_key) {}

RistrettoKey RistrettoKey::generate(SecureRandom& random) {
  ready();
  while (true) {
    Scalar scalar = random_scalar(random);
    RistrettoPoint point;
    if (multiply_base(point, scalar.expose())) return RistrettoKey(std::move(scalar), point);
  }
}

Result<Secret<32>> RistrettoKey::shared_point(const RistrettoPoint& peer) const {
  Secret<32> shared;
  if (crypto_scalarmult_ristretto255(shared.expose().data(), scalar_.expose().data(), peer.bytes.data()) != 0)
    return unexpected(ErrorCode::kInvalidMessage, "the peer's key " + hex(peer.span()) + " is no point, or the identity");
  return shared;
}

Result<AgreementProof> RistrettoKey::prove(const RistrettoPoint& peer, std::string_view domain, ByteSpan context,
                                           SecureRandom& random) const {
  COVEY_TRY(const Secret<32> shared, shared_point(peer));
  AgreementClaim claim{public_key_, peer, {}};
  std::copy(shared.expose().begin(), shared.expose().end(), claim.shared.bytes.begin());
  const Scalar nonce = random_scalar(random);
  Commitments made;
  COVEY_CHECK(multiply_base(made.base, nonce.expose()) && multiply(made.peer, nonce.expose(), peer));
  const Hashed challenge = challenge_of(claim, made, domain, context);
  Scalar product, response;
  crypto_core_ristretto255_scalar_mul(product.expose().data(), challenge.bytes.data(), scalar_.expose().data());
  crypto_core_ristretto255_scalar_add(response.expose().data(), nonce.expose().data(), product.expose().data());
  AgreementProof proof;
  std::copy(challenge.bytes.begin(), challenge.bytes.end(), proof.bytes.begin());
  std::copy(response.expose().begin(), response.expose().end(), proof.bytes.begin() + 32);
  return proof;
}

// s G - c A and s P - c S are the prover's commitments, or the challenge does not come out again.
bool verify_agreement(const AgreementClaim& claim, std::string_view domain, ByteSpan context,
                      const AgreementProof& proof) {
  ready();
  const std::span<const std::uint8_t, 64> bytes = proof.bytes;
  const auto challenge = bytes.first<32>();
  const auto response = bytes.last<32>();
  RistrettoPoint a, b;
  Commitments made;
  if (!multiply_base(a, response) || !multiply(b, challenge, claim.public_key) || !subtract(made.base, a, b)) return false;
  if (!multiply(a, response, claim.peer) || !multiply(b, challenge, claim.shared) || !subtract(made.peer, a, b)) return false;
  return equal_secretly(challenge_of(claim, made, domain, context).bytes, challenge);
}

}  // namespace covey
