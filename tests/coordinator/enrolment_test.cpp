#include "tests/coordinator/driver.h"

namespace covey {
namespace {

std::string refusal(const Driver& d, const Identity& id) {
  const auto refused = d.last<EnrolRefused>(id.delegation.one_time_curve);
  REQUIRE(refused);
  return refused->error.message;
}

}  // namespace

TEST_CASE("enrolment: from token to member") {
  Driver d;
  const Identity id = identity(1, "site-1");
  REQUIRE(std::holds_alternative<Done>(d.ask(RegisterToken{id.delegation})));
  CHECK(d.admitted.at(id.delegation.one_time_curve) == Admission::kEnrolment);
  d.withhold_writes = true;
  d.from(id.one_time(), Enrol{id.certificate});
  CHECK(d.count<EnrolAccepted>() == 0);
  CHECK_FALSE(d.admitted.contains(id.key()));
  d.release_writes();
  CHECK(d.count<EnrolAccepted>() == 1);
  CHECK(d.admitted.at(id.key()) == Admission::kMember);
  CHECK(d.logged("node_enrolled") == 2);  // the operator, and this one
  CHECK(d.admitted.contains(id.delegation.one_time_curve));
  d.from(id.one_time(), Enrol{id.certificate});  // the answer was lost
  CHECK(d.count<EnrolAccepted>() == 2);
  d.join(id);
  CHECK_FALSE(d.admitted.contains(id.delegation.one_time_curve));
  CHECK(std::get<NodeRows>(d.ask(ListNodes{})).rows.size() == 2);
}

TEST_CASE("enrolment: the one-time key goes by itself") {
  Driver d;
  const Identity id = identity(1, "site-1");
  d.ask(RegisterToken{id.delegation});
  d.from(id.one_time(), Enrol{id.certificate});
  d.advance(59s);
  CHECK(d.admitted.contains(id.delegation.one_time_curve));
  d.restart();  // it has not joined: it may still ask again
  CHECK(d.admitted.contains(id.delegation.one_time_curve));
  d.from(id.one_time(), Enrol{id.certificate});
  CHECK(d.count<EnrolAccepted>() == 2);
  d.advance(60s);
  CHECK_FALSE(d.admitted.contains(id.delegation.one_time_curve));
  CHECK(d.admitted.contains(id.key()));
}

TEST_CASE("enrolment: unknown, spent and expired tokens are refused by name") {
  Driver d;
  const Identity id = identity(1, "site-1");
  d.from(id.one_time(), Enrol{id.certificate});
  CHECK(refusal(d, id).find("does not know the join token") != std::string::npos);

  d.ask(RegisterToken{id.delegation});
  d.from(id.one_time(), Enrol{id.certificate});
  REQUIRE(d.count<EnrolAccepted>() == 1);
  Identity thief = identity(2, "site-2");
  thief.certificate.delegation = id.delegation;
  sign(thief.certificate, key_of<SigningKey>(2, 1));
  d.from(id.one_time(), Enrol{thief.certificate});
  CHECK(refusal(d, id).find("was used at") != std::string::npos);
  CHECK(refusal(d, id).find("site-1") != std::string::npos);

  const Identity late = identity(3, "site-3", Role::kClient, kStart + 60s);
  d.ask(RegisterToken{late.delegation});
  CHECK(d.admitted.contains(late.delegation.one_time_curve));
  d.advance(65s);
  CHECK_FALSE(d.admitted.contains(late.delegation.one_time_curve));
  d.from(late.one_time(), Enrol{late.certificate});
  CHECK(refusal(d, late).find("expired") != std::string::npos);
  CHECK(std::get<Error>(d.ask(RegisterToken{late.delegation})).code == ErrorCode::kPermissionDenied);
}

TEST_CASE("enrolment: forged chains, foreign connections and taken names are refused") {
  Driver d(1);
  Identity id = identity(10, "site-1");
  d.ask(RegisterToken{id.delegation});
  Identity forged = id;
  forged.certificate.name = "site-2";
  d.from(id.one_time(), Enrol{forged.certificate});
  CHECK(refusal(d, id).find("not signed") != std::string::npos);
  d.from(d.client(0), Enrol{id.certificate});
  CHECK(d.last<EnrolRefused>(d.client(0).key())->error.code == ErrorCode::kPermissionDenied);
  Identity twin = identity(10, "client-0");
  d.from(twin.one_time(), Enrol{twin.certificate});
  CHECK(d.last<EnrolRefused>(twin.one_time().peer)->error.code == ErrorCode::kAlreadyExists);
  CHECK(refusal(d, twin).find("choose another") != std::string::npos);
  d.from(id.one_time(), Enrol{id.certificate});
  CHECK(d.count<EnrolAccepted>() == 1);
  Identity other = identity(11, "site-3");
  sign(other.delegation, key_of<SigningKey>(9, 9));
  CHECK(std::get<Error>(d.ask(RegisterToken{other.delegation})).code == ErrorCode::kPermissionDenied);
}

TEST_CASE("enrolment: nodes are bounded") {
  Driver d(1);
  d.config().nodes_max = 2;
  d.restart();
  const Identity id = identity(10, "site-1");
  d.ask(RegisterToken{id.delegation});
  d.from(id.one_time(), Enrol{id.certificate});
  CHECK(d.last<EnrolRefused>(id.one_time().peer)->error.code == ErrorCode::kResourceExhausted);
}

TEST_CASE("enrolment: tokens and nodes survive a restart") {
  Driver d;
  const Identity waiting = identity(1, "site-1"), member = identity(2, "site-2");
  d.ask(RegisterToken{waiting.delegation});
  d.ask(RegisterToken{member.delegation});
  d.from(member.one_time(), Enrol{member.certificate});
  d.join(member);
  d.restart();
  CHECK(d.admitted.at(waiting.delegation.one_time_curve) == Admission::kEnrolment);
  CHECK(d.admitted.at(member.key()) == Admission::kMember);
  CHECK_FALSE(d.admitted.contains(member.delegation.one_time_curve));
  d.join(member);
  CHECK(d.all<JoinAccepted>(member.key()).size() == 2);
}

}  // namespace covey
