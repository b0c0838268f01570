// An ABORT on a complete graph: until a threshold of shares is out it may follow a COMMIT, and whoever signs it
// reveals nothing from then on. Votes that split, and members that lost their keys, so end the attempt.
#include <doctest/doctest.h>

#include "tests/privacy/secagg_world.h"

namespace covey {
namespace {

using Phase = SecAggServer::Phase;

std::set<std::uint32_t> nobody(Stop) { return {}; }
Bytes wire(const SecAggMessage& message) { return encode(message); }

// Ten members, one of whom may be corrupt: t = Q = 7, and 5 make an ABORT.
WorldOptions ten() {
  WorldOptions options;
  options.members = 10;
  options.dropout_millionths = 100'000;
  return options;
}

// What this member answers to a message, at the coordinator; an ABORT's certificate is carried to nobody.
bool tell(SecAggWorld& world, std::uint32_t who, const Bytes& message) {
  const auto answers = world.act(who, message);
  if (!answers) return false;
  for (const Bytes& answer : *answers)
    if (!world.server_->handle(answer)) return false;
  return true;
}

// The record alone is left of this member, as after a restart: the vote that it gives, if any.
bool tell_restarted(SecAggWorld& world, std::uint32_t who) {
  auto& person = *world.people_[who];
  auto book = AttemptBook::load(person.disk);
  REQUIRE(book.has_value());
  const AttemptId id = world.server_->cohort()->id();
  const auto late = book->vote_abort_late(id, person.key.public_key());
  if (!late) return false;
  world.keep(person, late->persist);
  const VoteMessage vote{id, Verdict::kAbort, late->member, person.key.sign(kOutcomeDomain, abort_statement(id))};
  return world.server_->handle(wire(vote)).has_value();
}

std::vector<Outgoing> agree(SecAggWorld& world) {
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  auto survivors = world.server_->close_masks(world.reservation_);
  REQUIRE(survivors.has_value());
  return *std::move(survivors);
}

// Everyone votes COMMIT; the certificate, which nobody has seen.
Bytes commit(SecAggWorld& world) {
  for (const Outgoing& o : agree(world)) {
    const auto votes = world.act(o.to[0], o.message);
    REQUIRE(votes.has_value());
    for (const Bytes& vote : *votes) REQUIRE(world.server_->handle(vote).has_value());
  }
  REQUIRE(world.server_->phase() == Phase::kUnmasking);
  return wire(*world.server_->certificate());
}

TEST_CASE("the ABORT of a complete graph needs so many that fewer than a threshold can still reveal") {
  for (std::uint32_t n = 4; n <= kCompleteGraphMembersMax; ++n)
    for (std::uint32_t a = 1; a <= n / 4; ++a) {
      const auto graph = graph_for({n, a, n - n / 10, a});
      if (!graph) continue;
      REQUIRE(graph->complete);
      const std::uint32_t promised = graph->abort_quorum - a;  // by honest members
      CHECK(n - promised < graph->threshold);
      CHECK(n - promised + 1 >= graph->threshold);  // and not one more than that takes
      CHECK(graph->abort_quorum <= graph->quorum);
      CHECK(graph->abort_quorum > a);
    }
  const auto ring = graph_for({400, 20, 380, 20});
  REQUIRE(ring.has_value());
  CHECK(ring->abort_quorum == ring->quorum);
}

TEST_CASE("a vote that split is ended by an ABORT that also those sign who voted COMMIT") {
  SecAggWorld world(ten());
  const auto survivors = agree(world);
  for (std::uint32_t i = 0; i < 6; ++i) REQUIRE(tell(world, i, survivors[i].message));  // Q is 7
  REQUIRE(world.server_->phase() == Phase::kAgreeing);
  CHECK(world.server_->can_abort());
  REQUIRE(world.server_->abort().has_value());
  const Bytes request = wire(AbortRequestMessage{world.server_->cohort()->id()});
  for (const std::uint32_t i : {0U, 1U, 2U}) REQUIRE(tell(world, i, request));  // they live, and voted COMMIT
  REQUIRE(tell_restarted(world, 3));                                           // it voted COMMIT and lost its keys
  CHECK_FALSE(world.server_->certificate().has_value());
  REQUIRE(tell_restarted(world, 9));                                           // it lost its keys before it voted
  REQUIRE(world.server_->phase() == Phase::kAborted);
  // The others take it, from the book alone; and begin anew.
  const OutcomeMessage abort = *world.server_->certificate();
  CHECK(abort.signatures.size() == 5);
  for (const std::uint32_t i : {4U, 8U}) {
    auto book = *AttemptBook::load(world.people_[i]->disk);
    PublicWork work;
    CHECK(book.abort(abort, work).has_value());
    SecAggConfig again = world.server_->config();
    again.attempt = 1;
    CHECK(book.join(again).has_value());
  }
}

TEST_CASE("who knew its roster and lost its keys before it masked signs the ABORT, nothing else and no other root's") {
  SecAggWorld world(ten());
  REQUIRE(world.run(nobody, Stop::kConfirm).has_value());
  const auto orders = world.server_->close_confirmations();
  REQUIRE(orders.has_value());
  for (std::uint32_t i = 0; i < 3; ++i) REQUIRE(world.act(i, (*orders)[0].message).has_value());
  REQUIRE(world.server_->abort().has_value());
  const AttemptId id = world.server_->cohort()->id();
  auto& person = *world.people_[5];
  const auto stored = AttemptBook::load(person.disk);
  REQUIRE(stored.has_value());
  const auto before = stored->find(id.sid);
  REQUIRE(before != nullptr);
  CHECK(before->state == AttemptState::kJoined);
  CHECK_FALSE(before->masked);
  AttemptId other = id;
  other.root.bytes[0] ^= 1;
  CHECK_FALSE(AttemptBook::load(person.disk)->vote_abort_late(other, person.key.public_key()).has_value());
  // While its machine still runs, that alone speaks for it.
  CHECK_FALSE(person.book.vote_abort_late(id, person.key.public_key()).has_value());
  for (const std::uint32_t i : {5U, 6U, 7U, 8U}) REQUIRE(tell_restarted(world, i));
  CHECK_FALSE(world.server_->certificate().has_value());
  REQUIRE(tell_restarted(world, 2));  // it had masked
  REQUIRE(world.server_->phase() == Phase::kAborted);
  // The promise is kept: its record lets nothing else be signed, and binds it to no update, for none left.
  auto book = *AttemptBook::load(person.disk);
  CHECK(book.find(id.sid)->state == AttemptState::kVotedAbort);
  CHECK(book.vote_abort_late(id, person.key.public_key())->persist.empty());
  CHECK_FALSE(book.vote(*world.server_->cohort(), Verdict::kCommit, Bytes{1}).has_value());
  CHECK_FALSE(book.mask(*world.server_->cohort()).has_value());
  SecAggConfig again = world.server_->config();
  again.attempt = 1;
  CHECK(book.join(again).has_value());
}

TEST_CASE("after the COMMIT an ABORT ends an attempt of which too few shares came; no threshold can come any more") {
  WorkerPool pool(1);
  for (std::uint32_t revealed = 0; revealed <= 7; ++revealed) {
    CAPTURE(revealed);
    SecAggWorld world(ten());
    const Bytes certificate = commit(world);
    for (std::uint32_t i = 0; i < revealed; ++i) REQUIRE(tell(world, i, certificate));
    CHECK(world.server_->can_recover() == (revealed >= 7));
    CHECK(world.server_->can_abort() == (revealed <= 5));
    const auto asked = world.server_->abort();
    REQUIRE(asked.has_value());
    CHECK_FALSE(world.server_->can_recover());
    const Bytes request = wire(AbortRequestMessage{world.server_->cohort()->id()});
    for (std::uint32_t i = 0; i < 10; ++i) {
      if (world.server_->phase() == Phase::kAborted) break;
      CHECK(world.server_->awaits(i) == (i >= revealed));
      CHECK(tell(world, i, request) == (i >= revealed));  // who revealed does not promise that it did not
    }
    CHECK((world.server_->phase() == Phase::kAborted) == (revealed <= 5));
    if (world.server_->phase() != Phase::kAborted) continue;
    // Whoever signed it reveals nothing, whatever it is shown; the rest are too few.
    std::uint32_t more = 0;
    for (std::uint32_t i = revealed; i < 10; ++i) more += world.act(i, certificate).has_value() ? 1 : 0;
    CHECK(revealed + more == 5);
    // Who revealed its shares learns of the ABORT and takes part in the next attempt.
    PublicWork work;
    for (const std::uint32_t i : {0U, 9U}) {
      auto book = *AttemptBook::load(world.people_[i]->disk);
      REQUIRE(book.abort(*world.server_->certificate(), work).has_value());
      SecAggConfig again = world.server_->config();
      again.attempt = 1;
      CHECK(book.join(again).has_value());
    }
  }
}

TEST_CASE("an ABORT of fewer than its quorum is not taken, in the attempt or later") {
  SecAggWorld world(ten());
  (void)commit(world);
  REQUIRE(world.server_->abort().has_value());
  const Bytes request = wire(AbortRequestMessage{world.server_->cohort()->id()});
  for (std::uint32_t i = 0; i < 5; ++i) REQUIRE(tell(world, i, request));
  OutcomeMessage few = *world.server_->certificate();
  const OutcomeMessage whole = few;
  few.signatures.pop_back();
  CHECK_FALSE(world.act(8, wire(few)).has_value());
  auto book = *AttemptBook::load(world.people_[8]->disk);
  PublicWork work;
  CHECK_FALSE(book.abort(few, work).has_value());
  // A COMMIT of so few is none either: its quorum is another.
  SecAggWorld other(ten());
  const auto survivors = agree(other);
  for (std::uint32_t i = 0; i < 6; ++i) REQUIRE(tell(other, i, survivors[i].message));
  CHECK(other.server_->phase() == Phase::kAgreeing);
  CHECK(world.act(8, wire(whole)).has_value());
}

TEST_CASE("on a ring nobody signs ABORT after COMMIT, restarted or not, and no ABORT follows a COMMIT") {
  WorldOptions options;
  options.members = 160;
  options.corrupt_max = 4;
  options.dropout_millionths = 200'000;
  options.survivors_min = 100;
  SecAggWorld world(options);
  const auto survivors = agree(world);
  const std::uint32_t voter = world.server_->cohort()->committee().front();
  REQUIRE(tell(world, voter, survivors[voter].message));
  CHECK_FALSE(world.act(voter, wire(AbortRequestMessage{world.server_->cohort()->id()})).has_value());
  CHECK_FALSE(tell_restarted(world, voter));
  for (const Outgoing& o : survivors)
    if (o.to[0] != voter && world.server_->phase() == Phase::kAgreeing) REQUIRE(tell(world, o.to[0], o.message));
  REQUIRE(world.server_->phase() == Phase::kUnmasking);
  CHECK_FALSE(world.server_->can_abort());
  CHECK_FALSE(world.server_->abort().has_value());
}

TEST_CASE("a record of the first version is read as it was meant: an ABORT of it needs Q, and no COMMIT before") {
  SecAggWorld world(ten());
  REQUIRE(world.run(nobody, Stop::kMask).has_value());
  AttemptRecord record = *decode_attempt_record(world.people_[0]->disk[0].value);
  CHECK(record.complete);
  CHECK(record.quorum == 5);
  record.complete = false;
  record.quorum = 7;
  Bytes first = encode(record);
  first[0] = 1;
  // The field comes after the quorum, before the committee: its count and ten places with their keys.
  first.erase(first.end() - (1 + 4 + 10 * (4 + 32)));
  const auto read = decode_attempt_record(first);
  REQUIRE(read.has_value());
  CHECK(*read == record);
}

}  // namespace
}  // namespace covey
