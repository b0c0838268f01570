#include "core/protocol/credential.h"

#include <doctest/doctest.h>

using namespace covey;

namespace {

struct Parties {
  SystemRandom random;
  SigningKey authority = SigningKey::generate(random);
  SigningKey other_authority = SigningKey::generate(random);

  Certificate node(const std::string& name) {
    Certificate made;
    made.name = name;
    made.signing = SigningKey::generate(random).public_key();
    return made;
  }
};

}  // namespace

TEST_CASE("credential: is the node's own under its authority, and comes back from its bytes") {
  Parties parties;
  const Certificate node = parties.node("hospital-1");
  const MemberCredential credential = credential_for(node, parties.authority);
  CHECK(verify(credential, node, parties.authority.public_key(), kCredentialEpochFirst).has_value());
  CHECK(encode(credential).size() == kCredentialBytes);
  const auto again = decode_credential(encode(credential));
  REQUIRE(again.has_value());
  CHECK(*again == credential);
}

TEST_CASE("credential: refused for another key, name, epoch or authority") {
  Parties parties;
  const VerifyKey authority = parties.authority.public_key();
  const Certificate node = parties.node("hospital-1");
  const auto refused = [&](const MemberCredential& credential, const std::string& word) {
    const auto verdict = verify(credential, node, authority, kCredentialEpochFirst);
    REQUIRE_FALSE(verdict.has_value());
    CHECK(verdict.error().code == ErrorCode::kPermissionDenied);
    CHECK_MESSAGE(verdict.error().message.find(word) != std::string::npos, verdict.error().message);
  };
  Certificate stranger = node;
  stranger.signing = parties.node("x").signing;
  refused(credential_for(stranger, parties.authority), "key");
  Certificate namesake = node;
  namesake.name = "hospital-2";
  refused(credential_for(namesake, parties.authority), "subject");
  refused(credential_for(node, parties.authority, kCredentialEpochFirst + 1), "epoch");
  refused(credential_for(node, parties.other_authority), "authority");
  // Whoever changes a field of a signed one has not its signature.
  MemberCredential changed = credential_for(stranger, parties.authority);
  changed.key = node.signing;
  refused(changed, "authority");
  changed = credential_for(node, parties.authority, kCredentialEpochFirst + 1);
  changed.epoch = kCredentialEpochFirst;
  refused(changed, "authority");
}

TEST_CASE("credential: one subject to a name, as docs/identity.md says") {
  CHECK(subject_of("hospital-1") == subject_of("hospital-1"));
  CHECK(subject_of("hospital-1") != subject_of("hospital-2"));
  CHECK(subject_of("hospital-1") != subject_of("Hospital-1"));
  // printf '\x17\0\0\0covey secagg subject v1\x0a\0\0\0hospital-1' | sha256sum, its first 32 digits.
  CHECK(hex(subject_of("hospital-1").span()) == "f9840442832c9619ffac0536d7098854");
}

TEST_CASE("credential: too few and too many bytes are refused") {
  Parties parties;
  Bytes bytes = encode(credential_for(parties.node("a"), parties.authority));
  bytes.push_back(0);
  CHECK_FALSE(decode_credential(bytes).has_value());
  bytes.resize(kCredentialBytes - 1);
  const auto cut = decode_credential(bytes);
  REQUIRE_FALSE(cut.has_value());
  CHECK(cut.error().code == ErrorCode::kCorrupted);
}
