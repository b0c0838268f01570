#include "sim/checker.h"

#include <doctest/doctest.h>

using namespace covey;

namespace {

const RoundKey kFirst{1, 1, 1};
const Checker::Durable kOnDisk = [](const std::string&) { return true; };
const Checker::Durable kNotYet = [](const std::string&) { return false; };

PeerKey client(std::uint8_t n) {
  PeerKey key;
  key.bytes.fill(n);
  return key;
}

BlobRef blob(std::uint8_t n) {
  BlobRef ref{{}, 24};
  ref.id.bytes.fill(n);
  return ref;
}

RoundOffer offer(RoundKey key, std::uint8_t model) {
  RoundOffer made;
  made.key = key;
  made.model = blob(model);
  return made;
}

UpdateReady update(RoundKey key, std::uint8_t n) {
  UpdateReady made;
  made.key = key;
  made.update = blob(n);
  made.examples = 10;
  return made;
}

Aggregate sum(RoundKey key, std::vector<std::uint8_t> updates) {
  Aggregate work;
  work.key = key;
  work.model = blob(100);
  for (const std::uint8_t n : updates) work.contributions.push_back({blob(n), 10});
  return work;
}

// Two clients, offered round 1 of model 100, have sent updates 1 and 2.
Checker in_round(std::size_t quorum) {
  Checker checker(quorum);
  for (const std::uint8_t n : {std::uint8_t{1}, std::uint8_t{2}}) {
    REQUIRE_FALSE(checker.on_coordinator_message(client(n), offer(kFirst, 100), kOnDisk));
    REQUIRE_FALSE(checker.on_client_message(client(n), update(kFirst, n)));
  }
  return checker;
}

}  // namespace

TEST_CASE("checker: a clean round has no finding") {
  Checker checker = in_round(2);
  CHECK_FALSE(checker.on_coordinator_message(client(1), UpdateAccepted{kFirst}, kOnDisk));
  CHECK_FALSE(checker.on_coordinator_message(client(2), UpdateAccepted{kFirst}, kOnDisk));
  CHECK_FALSE(checker.on_aggregate(sum(kFirst, {1, 2})));
  CHECK_FALSE(checker.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kOnDisk));
  CHECK(checker.committed() == 1);
  CHECK(checker.acknowledged() == 2);
}

TEST_CASE("checker: an acknowledged update that is left out is found") {
  Checker checker = in_round(1);
  CHECK_FALSE(checker.on_coordinator_message(client(2), UpdateAccepted{kFirst}, kOnDisk));
  CHECK(checker.on_aggregate(sum(kFirst, {1})));

  Checker late = in_round(1);
  CHECK_FALSE(late.on_aggregate(sum(kFirst, {1})));
  CHECK_FALSE(late.on_coordinator_message(client(2), UpdateAccepted{kFirst}, kOnDisk));
  SUBCASE("and committed") { CHECK(late.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kOnDisk)); }
  SUBCASE("but summed again with it, after a crash") {
    CHECK_FALSE(late.on_aggregate(sum(kFirst, {1, 2})));
    CHECK_FALSE(late.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kOnDisk));
  }
}

TEST_CASE("checker: once its client is revoked an acknowledged update may be left out, another's may not") {
  Checker checker = in_round(1);
  CHECK_FALSE(checker.on_coordinator_message(client(2), UpdateAccepted{kFirst}, kOnDisk));
  checker.on_revoke(client(1));
  CHECK(Checker(checker).on_aggregate(sum(kFirst, {1})));
  checker.on_revoke(client(2));
  CHECK_FALSE(checker.on_aggregate(sum(kFirst, {1})));
  CHECK_FALSE(checker.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kOnDisk));
}

TEST_CASE("checker: an update counted twice, or that nobody sent, is found") {
  CHECK(in_round(1).on_aggregate(sum(kFirst, {1, 1})));
  CHECK(in_round(1).on_aggregate(sum(kFirst, {1, 3})));
  CHECK(in_round(1).on_aggregate(sum({1, 2, 1}, {1})));
}

TEST_CASE("checker: a wrong weight or another model is found") {
  Aggregate heavy = sum(kFirst, {1});
  heavy.contributions[0].weight = 11;
  CHECK(in_round(1).on_aggregate(heavy));
  Aggregate elsewhere = sum(kFirst, {1});
  elsewhere.model = blob(101);
  CHECK(in_round(1).on_aggregate(elsewhere));
}

TEST_CASE("checker: below quorum, twice committed, or committed without a sum is found") {
  Checker thin = in_round(2);
  CHECK_FALSE(thin.on_aggregate(sum(kFirst, {1})));
  CHECK(thin.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kOnDisk));

  Checker empty = in_round(1);
  CHECK(empty.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kOnDisk));

  Checker twice = in_round(1);
  const RoundKey again{1, 1, 2};
  CHECK_FALSE(twice.on_aggregate(sum(kFirst, {1})));
  CHECK_FALSE(twice.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kOnDisk));
  CHECK(twice.on_coordinator_message(client(1), offer(again, 100), kOnDisk));
}

TEST_CASE("checker: one attempt offered with two models, and a skipped round, are found") {
  Checker checker = in_round(1);
  CHECK(checker.on_coordinator_message(client(3), offer(kFirst, 101), kOnDisk));
  CHECK(in_round(1).on_coordinator_message(client(1), offer({1, 3, 1}, 100), kOnDisk));
}

TEST_CASE("checker: an acknowledgement of what was never sent, and a changing update, are found") {
  CHECK(in_round(1).on_coordinator_message(client(9), UpdateAccepted{kFirst}, kOnDisk));
  CHECK(in_round(1).on_client_message(client(1), update(kFirst, 7)));
}

TEST_CASE("checker: what is said before it is durable is found") {
  Checker fresh(1);
  CHECK(fresh.on_coordinator_message(client(1), offer(kFirst, 100), kNotYet));
  CHECK(in_round(1).on_coordinator_message(client(1), UpdateAccepted{kFirst}, kNotYet));
  Checker summed = in_round(1);
  CHECK_FALSE(summed.on_aggregate(sum(kFirst, {1})));
  CHECK(summed.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kNotYet));
}

TEST_CASE("checker: a job that ends short is found") {
  JobDetail detail;
  detail.summary.state = JobState::kFinished;
  detail.summary.rounds = 2;
  detail.summary.round = 2;
  for (std::uint32_t round = 1; round <= 2; ++round) {
    RoundMetrics metrics;
    metrics.round = round;
    detail.metrics.push_back(metrics);
  }
  const Checker checker(1);
  CHECK_FALSE(checker.at_end(detail));
  JobDetail missing = detail;
  missing.metrics.erase(missing.metrics.begin());
  CHECK(checker.at_end(missing));
  JobDetail failed = detail;
  failed.summary.state = JobState::kFailed;
  CHECK(checker.at_end(failed));
  JobDetail cut = detail;
  cut.summary.round = 1;
  CHECK(checker.at_end(cut));
}
