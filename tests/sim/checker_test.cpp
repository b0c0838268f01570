#include "sim/checker.h"

#include <doctest/doctest.h>

#include "coordinator/tables.h"

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

SigningKey record_key() {
  std::array<std::uint8_t, 32> seed{};
  return SigningKey::from_seed(Secret<32>(seed));
}

// The coordinator's disk, as far as the chains go.
struct Disk {
  std::map<std::string, Bytes> rows;
  ChainReader ledger{kLedgerChain};

  void allow(const ReleaseRecord& release) {
    const ChainRecord record = next_record(kLedgerChain, ledger.head(), encode(release), record_key());
    REQUIRE(ledger.follow(record));
    rows[ledger_key(record.sequence)] = encode(record);
  }
  void allow(RoundKey key, const std::vector<std::uint8_t>& updates) {
    std::vector<NamedContribution> parts;
    for (const std::uint8_t n : updates) parts.push_back({client(n), {blob(n), 10}});
    allow({Instant{}, key, static_cast<std::uint32_t>(parts.size()), contributions_digest(parts), {}});
  }
  Checker::ReadRow read() const {
    return [this](const std::string& key) {
      const auto at = rows.find(key);
      return at == rows.end() ? std::nullopt : std::optional<Bytes>(at->second);
    };
  }
  std::vector<Row> all() const {
    std::vector<Row> found;
    for (const auto& [key, value] : rows) found.push_back({key, value});
    return found;
  }
};

// A sum with a ledger record of just that.
Checker::Finding allowed_sum(Checker& checker, const Aggregate& work, const std::vector<std::uint8_t>& updates) {
  Disk disk;
  disk.allow(work.key, updates);
  return checker.on_aggregate(work, disk.read());
}
Checker::Finding allowed_sum(Checker& checker, RoundKey key, const std::vector<std::uint8_t>& updates) {
  return allowed_sum(checker, sum(key, updates), updates);
}
Checker::Finding allowed_sum(Checker&& checker, RoundKey key, const std::vector<std::uint8_t>& updates) {
  return allowed_sum(checker, key, updates);
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
  CHECK_FALSE(allowed_sum(checker, kFirst, {1, 2}));
  CHECK_FALSE(checker.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kOnDisk));
  CHECK(checker.committed() == 1);
  CHECK(checker.acknowledged() == 2);
}

TEST_CASE("checker: an acknowledged update that is left out is found") {
  Checker checker = in_round(1);
  CHECK_FALSE(checker.on_coordinator_message(client(2), UpdateAccepted{kFirst}, kOnDisk));
  CHECK(allowed_sum(checker, kFirst, {1}));

  Checker late = in_round(1);
  CHECK_FALSE(allowed_sum(late, kFirst, {1}));
  CHECK(late.on_coordinator_message(client(2), UpdateAccepted{kFirst}, kOnDisk));
}

TEST_CASE("checker: an update counted twice, or that nobody sent, is found") {
  CHECK(allowed_sum(in_round(1), kFirst, {1, 1}));
  CHECK(allowed_sum(in_round(1), kFirst, {1, 3}));
  CHECK(allowed_sum(in_round(1), RoundKey{1, 2, 1}, {1}));
}

TEST_CASE("checker: a wrong weight or another model is found") {
  Aggregate heavy = sum(kFirst, {1});
  heavy.contributions[0].weight = 11;
  Checker weighed = in_round(1);
  CHECK(allowed_sum(weighed, heavy, {1}));
  Aggregate elsewhere = sum(kFirst, {1});
  elsewhere.model = blob(101);
  Checker based = in_round(1);
  CHECK(allowed_sum(based, elsewhere, {1}));
}

TEST_CASE("checker: below quorum, twice committed, or committed without a sum is found") {
  Checker thin = in_round(2);
  CHECK_FALSE(allowed_sum(thin, kFirst, {1}));
  CHECK(thin.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kOnDisk));

  Checker empty = in_round(1);
  CHECK(empty.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kOnDisk));

  Checker twice = in_round(1);
  const RoundKey again{1, 1, 2};
  CHECK_FALSE(allowed_sum(twice, kFirst, {1}));
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
  CHECK_FALSE(allowed_sum(summed, kFirst, {1}));
  CHECK(summed.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kNotYet));
}

TEST_CASE("checker: a sum without a durable ledger record, or of other updates than it names, is found") {
  Disk empty;
  CHECK(in_round(1).on_aggregate(sum(kFirst, {1, 2}), empty.read())->find("before its ledger record") != std::string::npos);
  Disk another_attempt;
  another_attempt.allow({1, 1, 2}, {1, 2});
  CHECK(in_round(1).on_aggregate(sum(kFirst, {1, 2}), another_attempt.read()));
  Disk fewer;
  fewer.allow(kFirst, {1});
  CHECK(in_round(1).on_aggregate(sum(kFirst, {1, 2}), fewer.read())->find("other updates") != std::string::npos);
  Disk others;
  others.allow(kFirst, {2});
  CHECK(in_round(1).on_aggregate(sum(kFirst, {1}), others.read())->find("other updates") != std::string::npos);
}

TEST_CASE("checker: an attempt is summed again of the same updates only") {
  Checker checker = in_round(1);
  Disk disk;
  disk.allow(kFirst, {1});
  CHECK_FALSE(checker.on_aggregate(sum(kFirst, {1}), disk.read()));
  CHECK_FALSE(checker.on_aggregate(sum(kFirst, {1}), disk.read()));
  CHECK(checker.on_aggregate(sum(kFirst, {2}), disk.read()));
  disk.allow(kFirst, {1});
  CHECK(checker.on_rows(disk.read())->find("two ledger records") != std::string::npos);
}

TEST_CASE("checker: figures told without a durable ledger record are found") {
  Checker checker(1);
  CHECK_FALSE(checker.on_coordinator_message(client(1), offer(kFirst, 100), kOnDisk));
  CHECK(checker.on_coordinator_message(client(1), RoundClosed{kFirst, true, ""}, kOnDisk)->find("ledger") != std::string::npos);
}

TEST_CASE("checker: a ledger that shrinks, changes or forks is found") {
  Disk disk;
  disk.allow({1, 1, 1}, {1});
  disk.allow({1, 2, 1}, {1});
  Checker checker(1);
  CHECK_FALSE(checker.on_rows(disk.read()));
  CHECK_FALSE(checker.chains_at_end(disk.all(), record_key().public_key()));
  Disk shorter = disk;
  shorter.rows.erase(ledger_key(2));
  CHECK(Checker(checker).on_rows(shorter.read()));
  CHECK(checker.chains_at_end(shorter.all(), record_key().public_key()));
  Disk other;
  other.allow({1, 1, 1}, {1});
  other.allow({1, 2, 1}, {2});
  CHECK(Checker(checker).on_rows(other.read()));
  Disk forked = disk;
  forked.ledger = ChainReader(kLedgerChain, {2, Digest{{1}}});
  forked.allow({1, 3, 1}, {1});
  CHECK(Checker(checker).on_rows(forked.read()));
  Disk first_lost = disk;  // nobody looks that far back on the way; at the end everything is followed
  first_lost.rows.erase(ledger_key(1));
  CHECK_FALSE(Checker(checker).on_rows(first_lost.read()));
  CHECK(checker.chains_at_end(first_lost.all(), record_key().public_key()));
  Disk unsigned_last = disk;
  unsigned_last.rows[ledger_key(2)].back() ^= 1;
  CHECK(checker.chains_at_end(unsigned_last.all(), record_key().public_key()));
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
