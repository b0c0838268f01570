#include "core/protocol/certificate.h"

#include <doctest/doctest.h>

#include <limits>

using namespace covey;

namespace {

const Instant kNow = instant_of_nanos(1'700'000'000'000'000'000);

struct Parties {
  SystemRandom random;
  SigningKey authority = SigningKey::generate(random);
  SigningKey one_time = SigningKey::generate(random);
  CurveKey one_time_curve = CurveKey::generate(random);
  SigningKey node = SigningKey::generate(random);
  CurveKey node_curve = CurveKey::generate(random);

  Delegation delegation() {
    Delegation granted{{}, Role::kClient, kNow + 1h, kNow + 24h, one_time_curve.public_key(), one_time.public_key(), {}};
    random.fill(granted.token.bytes);
    sign(granted, authority);
    return granted;
  }
  Certificate certificate() {
    Certificate made{"hospital-1", node.public_key(), node_curve.public_key(), delegation(), {}};
    sign(made, one_time);
    return made;
  }
};

}  // namespace

TEST_CASE("delegation: verifies under its authority until it expires") {
  Parties parties;
  const Delegation granted = parties.delegation();
  CHECK(verify(granted, parties.authority.public_key(), kNow).has_value());
  const auto late = verify(granted, parties.authority.public_key(), kNow + 1h);
  REQUIRE_FALSE(late.has_value());
  CHECK(late.error().code == ErrorCode::kPermissionDenied);
  CHECK(late.error().message.find("expired") != std::string::npos);
  CHECK_FALSE(verify(granted, parties.node.public_key(), kNow).has_value());
}

TEST_CASE("delegation: no field can be changed") {
  Parties parties;
  const VerifyKey authority = parties.authority.public_key();
  Delegation changed = parties.delegation();
  changed.role = Role::kOperator;
  CHECK_FALSE(verify(changed, authority, kNow).has_value());
  changed = parties.delegation();
  changed.expires += 1s;
  CHECK_FALSE(verify(changed, authority, kNow).has_value());
  changed = parties.delegation();
  changed.members_until += 1s;
  CHECK_FALSE(verify(changed, authority, kNow).has_value());
  changed = parties.delegation();
  changed.one_time_signing = parties.node.public_key();
  CHECK_FALSE(verify(changed, authority, kNow).has_value());
}

TEST_CASE("certificate: reads back, and the chain holds only as signed") {
  Parties parties;
  const Certificate made = parties.certificate();
  const auto read = decode_certificate(encode(made));
  REQUIRE(read.has_value());
  CHECK(*read == made);
  CHECK(verify(*read, parties.authority.public_key()).has_value());

  Certificate renamed = made;
  renamed.name = "hospital-2";
  CHECK_FALSE(verify(renamed, parties.authority.public_key()).has_value());
  Certificate foreign = made;
  foreign.delegation.signature = parties.node.sign("covey delegation", {});
  CHECK_FALSE(verify(foreign, parties.authority.public_key()).has_value());
}

TEST_CASE("certificate: every truncation and trailing byte is refused") {
  Parties parties;
  Bytes bytes = encode(parties.certificate());
  for (std::size_t n = 0; n < bytes.size(); ++n)
    CHECK_FALSE(decode_certificate(ByteSpan(bytes).first(n)).has_value());
  bytes.push_back(0);
  CHECK_FALSE(decode_certificate(bytes).has_value());
}

TEST_CASE("certificate: a name outside the alphabet is refused") {
  Parties parties;
  Certificate bad{"../../etc", parties.node.public_key(), parties.node_curve.public_key(), parties.delegation(), {}};
  sign(bad, parties.one_time);
  CHECK_FALSE(decode_certificate(encode(bad)).has_value());
}

TEST_CASE("delegation: a membership that ends before 1970, and another format, are refused") {
  Parties parties;
  Delegation before = parties.delegation();
  before.members_until = instant_of_nanos(-1);
  sign(before, parties.authority);
  CHECK_FALSE(decode_delegation(encode(before)).has_value());
  Bytes old = encode(parties.delegation());
  CHECK(decode_delegation(old).has_value());
  old[0] = 1;
  const auto read = decode_delegation(old);
  REQUIRE_FALSE(read.has_value());
  CHECK(read.error().message.find("format 1") != std::string::npos);
}

TEST_CASE("role: every one has its name, and no other number is one") {
  Parties parties;
  for (const Role role : {Role::kClient, Role::kOperator, Role::kAggregator}) {
    CHECK(role_from(name_of(role)).value() == role);
    Delegation granted = parties.delegation();
    granted.role = role;
    CHECK(decode_delegation(encode(granted)).value().role == role);
  }
  CHECK(role_from("king").error().message.find("aggregator") != std::string::npos);
  for (const int wrong : {0, 4, 255}) {
    Delegation granted = parties.delegation();
    granted.role = static_cast<Role>(wrong);
    CHECK_FALSE(decode_delegation(encode(granted)).has_value());
  }
}

TEST_CASE("renewal: holds for its node under its authority, and no field can be changed") {
  Parties parties;
  const VerifyKey authority = parties.authority.public_key();
  const Certificate node = parties.certificate();
  Renewal made{node.curve, node.signing, kNow + 1000h, 3, {}};
  sign(made, parties.authority);
  const auto read = decode_renewal(encode(made));
  REQUIRE(read.has_value());
  CHECK(*read == made);
  CHECK(verify(*read, node, authority).has_value());
  CHECK(membership_end(node, std::nullopt) == kNow + 24h);
  CHECK(membership_end(node, made) == kNow + 1000h);

  const auto refused = [&](const Renewal& renewal) {
    const auto judged = verify(renewal, node, authority);
    REQUIRE_FALSE(judged.has_value());
    CHECK(judged.error().code == ErrorCode::kPermissionDenied);
  };
  Renewal changed = made;
  changed.valid_until += 1s;
  refused(changed);
  changed = made;
  ++changed.serial;
  refused(changed);
  changed = made;
  changed.curve.bytes[3] ^= 1;
  refused(changed);
  changed = made;
  changed.signing = parties.one_time.public_key();
  refused(changed);
  sign(changed, parties.authority);  // signed, but for other keys
  refused(changed);
  changed = made;
  sign(changed, parties.one_time);
  refused(changed);
  changed.signature = parties.authority.sign("covey delegation", ByteSpan(encode(made)).first(81));  // the bytes, another domain
  refused(changed);
  CHECK_FALSE(verify(made, node, parties.node.public_key()).has_value());
}

TEST_CASE("renewal: what no encoder writes is refused") {
  Parties parties;
  const Certificate node = parties.certificate();
  const auto bytes_of_renewal = [&](Instant until, std::uint64_t serial) {
    Renewal made{node.curve, node.signing, until, serial, {}};
    sign(made, parties.authority);
    return encode(made);
  };
  const Bytes good = bytes_of_renewal(kNow, 1);
  for (std::size_t n = 0; n < good.size(); ++n) CHECK_FALSE(decode_renewal(ByteSpan(good).first(n)).has_value());
  Bytes longer = good;
  longer.push_back(0);
  CHECK_FALSE(decode_renewal(longer).has_value());
  CHECK_FALSE(decode_renewal(bytes_of_renewal(kNow, 0)).has_value());
  CHECK_FALSE(decode_renewal(bytes_of_renewal(instant_of_nanos(-1), 1)).has_value());
  CHECK(decode_renewal(bytes_of_renewal(kNow, kRenewalSerialMax)).has_value());
  CHECK_FALSE(decode_renewal(bytes_of_renewal(kNow, kRenewalSerialMax + 1)).has_value());
  Bytes other = good;
  other[0] = 2;
  CHECK_FALSE(decode_renewal(other).has_value());
}

TEST_CASE("membership: its end is near from thirty days before, for every time there is") {
  const Instant last = instant_of_nanos(std::numeric_limits<std::int64_t>::max());
  CHECK(ends_soon(kNow + kMembershipWarning, kNow));
  CHECK_FALSE(ends_soon(kNow + kMembershipWarning + 1ns, kNow));
  CHECK(ends_soon(Instant{}, kNow));
  CHECK_FALSE(ends_soon(last, kNow));
}

TEST_CASE("join token: carries keys, address and delegation in one line") {
  Parties parties;
  const Delegation granted = parties.delegation();
  const JoinToken token{{"127.0.0.1", 7700, 7701, parties.node_curve.public_key(), parties.authority.public_key(),
                         parties.node.public_key()},
                        granted,
                        SigningKey::from_seed(parties.one_time.seed().clone()),
                        CurveKey::from_secret(parties.one_time_curve.secret().clone())};
  const std::string text = to_text(token);
  const auto read = join_token_from(text + "\n");
  REQUIRE(read.has_value());
  CHECK(read->coordinator == token.coordinator);
  CHECK(read->delegation == granted);
  CHECK(read->one_time_signing.public_key() == granted.one_time_signing);

  CHECK_FALSE(join_token_from("covey1-").has_value());
  CHECK_FALSE(join_token_from("hello").has_value());
  CHECK_FALSE(join_token_from(text.substr(0, text.size() - 8)).has_value());
  CHECK_FALSE(join_token_from(std::string(10'000, 'a')).has_value());
  std::string swapped = text;
  swapped[swapped.size() - 3] = swapped[swapped.size() - 3] == 'A' ? 'B' : 'A';
  CHECK_FALSE(join_token_from(swapped).has_value());
}
