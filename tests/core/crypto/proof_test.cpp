#include <doctest/doctest.h>

#include "core/crypto/memory_hard.h"
#include "core/crypto/ristretto_key.h"

namespace covey {
namespace {

struct Pair {
  SystemRandom random;
  RistrettoKey ours = RistrettoKey::generate(random);
  RistrettoKey theirs = RistrettoKey::generate(random);
  RistrettoPoint shared() const {
    const auto secret = ours.shared_point(theirs.public_key());
    RistrettoPoint point;
    std::copy(secret->expose().begin(), secret->expose().end(), point.bytes.begin());
    return point;
  }
};

TEST_CASE("ristretto: both sides agree, and on nothing with a key that is none") {
  Pair pair;
  const auto ours = pair.ours.shared_point(pair.theirs.public_key());
  const auto theirs = pair.theirs.shared_point(pair.ours.public_key());
  REQUIRE(ours.has_value());
  CHECK(ours->equals(*theirs));
  RistrettoPoint bad;  // the identity
  CHECK_FALSE(pair.ours.shared_point(bad).has_value());
  std::fill(bad.bytes.begin(), bad.bytes.end(), std::uint8_t{0xff});  // no field element
  CHECK_FALSE(pair.ours.shared_point(bad).has_value());
  bad = pair.theirs.public_key();
  bad.bytes[0] ^= 1;  // negative, so not canonical
  CHECK_FALSE(pair.ours.shared_point(bad).has_value());
}

TEST_CASE("ristretto: the proof of an agreement holds for it and for nothing else") {
  Pair pair;
  const Bytes context{1, 2, 3};
  const auto proof = pair.ours.prove(pair.theirs.public_key(), "purpose", context, pair.random);
  REQUIRE(proof.has_value());
  const AgreementClaim claim{pair.ours.public_key(), pair.theirs.public_key(), pair.shared()};
  CHECK(verify_agreement(claim, "purpose", context, *proof));
  CHECK_FALSE(verify_agreement(claim, "purposf", context, *proof));
  CHECK_FALSE(verify_agreement(claim, "purpose", Bytes{1, 2}, *proof));
  for (std::size_t i = 0; i < proof->bytes.size(); i += 7) {
    AgreementProof changed = *proof;
    changed.bytes[i] ^= 1;
    CHECK_FALSE(verify_agreement(claim, "purpose", context, changed));
  }
  const RistrettoPoint other = RistrettoKey::generate(pair.random).public_key();
  CHECK_FALSE(verify_agreement({other, claim.peer, claim.shared}, "purpose", context, *proof));
  CHECK_FALSE(verify_agreement({claim.public_key, other, claim.shared}, "purpose", context, *proof));
  CHECK_FALSE(verify_agreement({claim.public_key, claim.peer, other}, "purpose", context, *proof));
  CHECK_FALSE(verify_agreement(claim, "purpose", context, AgreementProof{}));
}

TEST_CASE("Argon2id: a known answer of another implementation (Python's cryptography)") {
  MemoryHardSalt salt;
  for (std::size_t i = 0; i < 16; ++i) salt.bytes[i] = static_cast<std::uint8_t>(i);
  const auto digest = memory_hard_hash(bytes_of("covey"), salt);
  REQUIRE(digest.has_value());
  CHECK(hex(digest->span()) == "78d94e5e50c2ecfb3bdcafd732716cc890fc415d6c2fdfc6286cf8a829d63b40");
}

}  // namespace
}  // namespace covey
