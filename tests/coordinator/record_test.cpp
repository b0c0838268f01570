#include "coordinator/job_floor.h"
#include "core/crypto/digest.h"
#include "core/protocol/records.h"
#include "tests/coordinator/chains.h"

namespace covey {
namespace {

const std::string kTwo = "[selection]\nmin_clients = 2\n";

void begin(Driver& d, const std::string& more = kTwo, std::uint32_t rounds = 1) {
  d.join_all();
  REQUIRE(std::holds_alternative<Submitted>(d.submit(job_text(more, rounds))));
}

void deliver_all(Driver& d, std::size_t clients = 2) {
  for (std::size_t n = 0; n < clients; ++n) d.deliver_update(d.client(n));
}

std::vector<AuditKind> kinds_of(const Chains& chains, std::size_t from) {
  std::vector<AuditKind> kinds;
  for (std::size_t i = from; i < chains.audit.size(); ++i) kinds.push_back(chains.audit[i].kind);
  return kinds;
}

std::size_t aggregates(const Driver& d) {
  std::size_t count = 0;
  for (const StartWork& start : d.held_work) count += std::holds_alternative<Aggregate>(start.work);
  return count;
}

Error refused(Driver& d, const std::vector<Row>& rows) {
  const auto coordinator = Coordinator::create(d.config(), rows);
  REQUIRE_FALSE(coordinator);
  CHECK(coordinator.error().code == ErrorCode::kCorrupted);
  return coordinator.error();
}

// Two clients have delivered, the sum is held back: the round is frozen.
void freeze(Driver& d, const std::string& more = kTwo) {
  begin(d, more);
  d.deliver_update(d.client(0));
  d.hold_work = true;
  d.deliver_update(d.client(1));
  d.finish_work(StartWork(d.held_work.front()));  // the check
  REQUIRE(aggregates(d) == 1);
}

Chains replayed(const std::vector<ChainRecord>& audit, Driver& d) {
  Chains chains;
  ChainReader reader(kAuditChain);
  for (const ChainRecord& record : audit) {
    REQUIRE(reader.follow(record, d.config().record_key->public_key()));
    chains.audit.push_back(decode_audit_entry(record.body).value());
  }
  return chains;
}

}  // namespace

TEST_CASE("record: a job from its submission to its end, act by act") {
  Driver d(2);
  const std::size_t before = chains_of(d).audit.size();
  begin(d);
  deliver_all(d);
  const Digest model = d.job().model.id;
  d.deliver_update(d.client(0));
  d.deliver_update(d.client(1));
  REQUIRE(d.job().state == JobState::kFinished);
  const Chains chains = chains_of(d);
  CHECK(kinds_of(chains, before) ==
        std::vector<AuditKind>{AuditKind::kJobSubmitted, AuditKind::kRoundOpened, AuditKind::kRoundFrozen, AuditKind::kReleased,
                               AuditKind::kRoundOpened, AuditKind::kRoundFrozen, AuditKind::kReleased, AuditKind::kJobEnded});
  const AuditEntry& submitted = chains.audit[before];
  CHECK(submitted.actor == boss().key());
  CHECK(submitted.subject == sha256(bytes_of(job_text(kTwo, 1))));
  CHECK(submitted.text == "line");
  CHECK(submitted.round == RoundKey{1, 0, 0});
  CHECK(submitted.time == d.now);
  const AuditEntry& opened = chains.audit[before + 1];
  CHECK(opened.round == RoundKey{1, 1, 1});
  CHECK(opened.subject == roster_digest({d.client(1).key(), d.client(0).key()}));
  CHECK(opened.number == 2);
  std::vector<NamedContribution> parts;
  for (std::size_t n = 0; n < 2; ++n)
    parts.push_back({d.client(n).key(), {blob_ref_of(bytes_of_floats(d.update_of(d.client(n).key(), 1))), 10}});
  CHECK(chains.audit[before + 2].subject == contributions_digest(parts));
  CHECK(chains.audit[before + 2].number == 2);
  CHECK(chains.audit[before + 3].subject == model);
  CHECK(chains.audit[before + 3].number == 1);
  const AuditEntry& figures = chains.audit[before + 6];
  CHECK(figures.round == RoundKey{1, 2, 1});
  CHECK(figures.subject == Digest{});
  CHECK(figures.number == 2);
  const AuditEntry& ended = chains.audit[before + 7];
  CHECK(ended.round == RoundKey{1, 0, 0});
  CHECK(ended.number == static_cast<std::uint64_t>(JobState::kFinished));
  REQUIRE(chains.ledger.size() == 2);
  CHECK(chains.ledger[0].round == RoundKey{1, 1, 1});
  CHECK(chains.ledger[1].round == RoundKey{1, 2, 1});
  CHECK(chains.ledger[1].contributors == 2);
  CHECK(chains.ledger[0].charge.empty());
}

TEST_CASE("record: starts, enrolments, tokens and revocations with who did them") {
  Driver d(1);
  Chains chains = chains_of(d);
  CHECK(chains.only(AuditKind::kStarted).number == 1);
  CHECK(chains.audit[0].kind == AuditKind::kStarted);
  REQUIRE(chains.of(AuditKind::kEnrolled).size() == 2);
  CHECK(chains.of(AuditKind::kEnrolled)[0].who == boss().key());
  CHECK(chains.of(AuditKind::kEnrolled)[0].text == "operator boss");
  const Identity guest = identity(77, "guest");
  REQUIRE(std::holds_alternative<Done>(d.ask(RegisterToken{guest.delegation})));
  d.from(guest.one_time(), Enrol{guest.certificate});
  REQUIRE(std::holds_alternative<Done>(d.ask(RevokeNode{"guest"})));
  REQUIRE(std::holds_alternative<Done>(d.ask(RevokeNode{hex(guest.key().span())})));  // again: no act
  d.restart();
  chains = chains_of(d);
  const AuditEntry token = chains.only(AuditKind::kTokenMade);
  CHECK(token.actor == boss().key());
  CHECK(token.text == "client " + hex(guest.delegation.token.span()));
  CHECK(chains.of(AuditKind::kEnrolled).back().who == guest.key());
  CHECK(chains.of(AuditKind::kEnrolled).back().text == "client guest");
  const AuditEntry revoked = chains.only(AuditKind::kRevoked);
  CHECK(revoked.actor == boss().key());
  CHECK(revoked.who == guest.key());
  CHECK(revoked.text == "guest");
  CHECK(chains.of(AuditKind::kStarted).back().number == 2);
}

TEST_CASE("record: stopped, abandoned and refused with the reason") {
  Driver d(2);
  begin(d);
  UpdateReady bad = d.ready(d.client(0), d.offer_to(d.client(0)).value());
  bad.examples = 0;
  d.from(d.client(0), bad);
  const AuditEntry refusal = chains_of(d).only(AuditKind::kUpdateRefused);
  CHECK(refusal.who == d.client(0).key());
  CHECK(refusal.round == RoundKey{1, 1, 1});
  CHECK(refusal.text == d.last<UpdateRefused>(d.client(0).key())->error.message);
  d.deliver_update(d.client(1));  // one of two needed: the attempt is over
  const AuditEntry abandoned = chains_of(d).only(AuditKind::kAbandoned);
  CHECK(abandoned.round == RoundKey{1, 1, 1});
  CHECK(abandoned.text.find("only 1 of 2") == 0);
  d.advance(4s);
  REQUIRE(d.offer_to(d.client(0))->key.attempt == 2);
  REQUIRE(std::holds_alternative<Done>(d.ask(StopJob{1})));
  const Chains chains = chains_of(d);
  CHECK(chains.only(AuditKind::kJobStopped).actor == boss().key());
  CHECK(chains.only(AuditKind::kJobStopped).round == RoundKey{1, 0, 0});
  CHECK(chains.of(AuditKind::kAbandoned).back().round == RoundKey{1, 1, 2});
  CHECK(chains.only(AuditKind::kJobEnded).text == "stopped by boss");
  CHECK(chains.only(AuditKind::kJobEnded).number == static_cast<std::uint64_t>(JobState::kStopped));
  CHECK(chains.ledger.empty());
}

TEST_CASE("record: another update under an accepted one's key is always refused, and audited a few times") {
  Driver d(3);
  begin(d, "[selection]\nmin_clients = 3\n");
  d.deliver_update(d.client(0));
  UpdateReady other = d.ready(d.client(0), d.offer_to(d.client(0)).value());
  for (std::uint8_t n = 1; n <= 20; ++n) {
    other.update = BlobRef{Digest{{n}}, other.update->size};
    d.from(d.client(0), other);
  }
  std::size_t refusals = 0;
  for (const UpdateRefused& refusal : d.all<UpdateRefused>(d.client(0).key())) refusals += refusal.error.code == ErrorCode::kAlreadyExists;
  CHECK(refusals == 20);
  const Chains chains = chains_of(d);
  CHECK(chains.of(AuditKind::kUpdateRefused).size() == 4);
  CHECK(chains.of(AuditKind::kUpdateRefused)[0].who == d.client(0).key());
}

TEST_CASE("record: nothing is summed before the freeze is durable, and the freeze is one write") {
  Driver d(2);
  begin(d);
  d.deliver_update(d.client(0));
  d.hold_work = true;
  d.deliver_update(d.client(1));
  d.withhold_writes = true;
  d.finish_work(StartWork(d.held_work.front()));  // the check: accepted, and at once frozen
  REQUIRE(d.withheld.size() == 2);
  const Batch& freeze = d.withheld[1].batch;
  std::set<std::string> keys;
  for (const Put& put : freeze.puts) keys.insert(std::string(key_parts(put.key)[0]));
  CHECK(keys == std::set<std::string>{"audit", "ledger", "round"});
  CHECK(aggregates(d) == 0);
  // The answers come out of order: both writes must be there.
  const std::vector<Persist> writes = std::exchange(d.withheld, {});
  d.withhold_writes = false;
  for (const Persist& write : writes) REQUIRE(d.store.write(write.batch));
  d.deliver(Persisted{writes[1].ticket});
  CHECK(aggregates(d) == 0);
  d.deliver(Persisted{writes[0].ticket});
  CHECK(aggregates(d) == 1);
  d.deliver(Persisted{writes[0].ticket});
  CHECK(aggregates(d) == 1);
}

TEST_CASE("record: a frozen round is summed again after a restart: same updates, no second ledger record, no deadline") {
  Driver d(3);
  begin(d, "[selection]\nmin_clients = 3\n[round]\nquorum = 0.6\ndeadline_s = 10\n");
  d.deliver_update(d.client(0));
  d.deliver_update(d.client(1));
  const UpdateReady late = d.ready(d.client(2), d.offer_to(d.client(2)).value());
  d.hold_work = true;
  d.advance(10s);  // the deadline freezes it with two
  REQUIRE(aggregates(d) == 1);
  const Aggregate first = std::get<Aggregate>(d.held_work.back().work);
  CHECK(first.contributions.size() == 2);
  d.held_work.clear();
  d.restart();
  REQUIRE(aggregates(d) == 1);
  CHECK(std::get<Aggregate>(d.held_work.back().work).contributions == first.contributions);
  CHECK(d.logged("frozen_round_resumed") == 1);
  CHECK_FALSE(d.timers.contains("job/1/deadline"));
  d.join_all();
  d.from(d.client(2), late);
  CHECK(d.last<UpdateRefused>(d.client(2).key())->error.code == ErrorCode::kUnavailable);
  d.advance(100s);
  CHECK(aggregates(d) == 1);
  d.finish_work(StartWork(d.held_work.back()));
  CHECK(d.job().round == 1);
  const Chains chains = chains_of(d);
  REQUIRE(chains.ledger.size() == 1);
  CHECK(chains.only(AuditKind::kReleased).number == 1);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.at(0).delivered == 2);
}

TEST_CASE("record: the freeze itself lost at a crash is made again") {
  Driver d(2);
  begin(d);
  d.deliver_update(d.client(0));
  d.hold_work = true;
  d.deliver_update(d.client(1));
  d.withhold_writes = true;
  d.finish_work(StartWork(d.held_work.front()));
  REQUIRE(d.withheld.size() == 2);
  REQUIRE(d.store.write(d.withheld[0].batch));  // accepted, not frozen
  d.withhold_writes = d.hold_work = false;
  d.held_work.clear();
  d.restart();
  CHECK(d.job().round == 1);
  CHECK(chains_of(d).ledger.size() == 1);
}

TEST_CASE("record: a survivor revoked during the sum ends the attempt; its ledger record stays") {
  Driver d(3);
  begin(d, kTwo);
  d.deliver_update(d.client(0));
  d.deliver_update(d.client(1));
  d.hold_work = true;
  d.deliver_update(d.client(2));
  d.finish_work(StartWork(d.held_work.front()));
  REQUIRE(aggregates(d) == 1);
  const StartWork sum = d.held_work.back();
  REQUIRE(std::holds_alternative<Done>(d.ask(RevokeNode{"client-2"})));
  CHECK(aggregates(d) == 0);  // cancelled
  CHECK(chains_of(d).only(AuditKind::kAbandoned).round == RoundKey{1, 1, 1});
  CHECK(chains_of(d).ledger.size() == 1);
  CHECK(d.store.scan("update/").value().empty());
  d.finish_work(sum);  // it came to an end all the same: nobody takes it
  CHECK(d.job().round == 0);
  CHECK(d.offer_to(d.client(0))->key == RoundKey{1, 1, 2});
  CHECK(d.all<RoundOffer>(d.client(2).key()).size() == 1);
  d.hold_work = false;
  deliver_all(d);
  CHECK(d.job().round == 1);
  const Chains chains = chains_of(d);
  REQUIRE(chains.ledger.size() == 2);
  CHECK(chains.ledger[1].contributors == 2);
  CHECK(chains.only(AuditKind::kReleased).number == 2);
}

TEST_CASE("record: a survivor revoked, and a crash before the attempt was ended") {
  Driver d(2);
  freeze(d);
  d.withhold_writes = true;
  d.from(boss(), OperatorRequest{99, RevokeNode{"client-1"}});
  REQUIRE(d.withheld.size() == 2);
  REQUIRE(d.store.write(d.withheld[0].batch));
  d.withhold_writes = false;
  d.held_work.clear();
  d.restart();
  CHECK(aggregates(d) == 0);
  CHECK(d.store.scan("round/").value().empty());
  CHECK(d.store.scan("update/").value().empty());
  CHECK(chains_of(d).only(AuditKind::kAbandoned).round == RoundKey{1, 1, 1});
  const auto needed = blobs_in_rows(d.store.scan("").value()).value();
  const auto there = d.blobs.list().value();
  CHECK(needed == std::set<Digest>(there.begin(), there.end()));
}

TEST_CASE("record: a sum that fails ends the attempt, and the next is charged anew") {
  Driver d(2);
  freeze(d);
  d.deliver(WorkFailed{d.held_work.back().ticket, Error{ErrorCode::kResourceExhausted, "the disk is full"}});
  CHECK(chains_of(d).only(AuditKind::kAbandoned).text == "aggregation failed: the disk is full");
  d.hold_work = false;
  d.advance(5s);
  deliver_all(d);
  const Chains chains = chains_of(d);
  REQUIRE(chains.ledger.size() == 2);
  CHECK(chains.ledger[0].round == RoundKey{1, 1, 1});
  CHECK(chains.ledger[1].round == RoundKey{1, 1, 2});
  CHECK(chains.only(AuditKind::kReleased).number == 2);
}

TEST_CASE("record: an evaluation lost between freeze and commit is committed after the restart") {
  Driver d(2);
  begin(d);
  deliver_all(d);
  REQUIRE(d.offer_to(d.client(0))->kind == RoundKind::kEvaluate);
  d.deliver_update(d.client(0));
  d.withhold_writes = true;
  d.deliver_update(d.client(1));
  REQUIRE(d.withheld.size() == 2);  // accepted, frozen
  for (const Persist& write : d.withheld) REQUIRE(d.store.write(write.batch));
  d.withhold_writes = false;
  CHECK(d.logged("job_finished") == 0);
  d.restart();
  CHECK(d.job().state == JobState::kFinished);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.at(1).delivered == 2);
  CHECK(chains_of(d).ledger.size() == 2);
}

TEST_CASE("record: chains that were changed, cut or reordered stop the start") {
  Driver d(2);
  freeze(d);
  const std::vector<Row> rows = d.store.scan("").value();
  std::vector<std::size_t> chained;
  for (std::size_t i = 0; i < rows.size(); ++i)
    if (rows[i].key.starts_with(kAuditTable) || rows[i].key.starts_with(kLedgerTable)) chained.push_back(i);
  REQUIRE(chained.size() >= 6);
  for (const std::size_t i : chained) {
    CAPTURE(rows[i].key);
    for (std::size_t at = 0; at < rows[i].value.size(); at += 7) {
      auto flipped = rows;
      flipped[i].value[at] ^= 0x10;
      const bool last = i + 1 == rows.size() || key_parts(rows[i + 1].key)[0] != key_parts(rows[i].key)[0];
      // A signature within the chain is not looked at: `covey audit` does. Everything else is.
      if (last || at + Signature::kSize < rows[i].value.size()) refused(d, flipped);
    }
    auto missing = rows;
    missing.erase(missing.begin() + static_cast<std::ptrdiff_t>(i));
    const bool last_audit = rows[i].key.starts_with(kAuditTable) && !rows[i + 1].key.starts_with(kAuditTable);
    if (!last_audit) refused(d, missing);  // a log that is only shorter: found by `--since`, and by the side file
  }
  auto swapped = rows;
  std::swap(swapped[chained[0]].value, swapped[chained[1]].value);
  refused(d, swapped);
  auto without_update = rows;
  std::erase_if(without_update, [&](const Row& row) { return row.key == update_key({1, 1, 1}, d.client(0).key()); });
  CHECK(refused(d, without_update).message.find("is missing") != std::string::npos);
  auto without_epoch = rows;
  std::erase_if(without_epoch, [](const Row& row) { return row.key == kEpochRow; });
  CHECK(refused(d, without_epoch).message.find("epoch") != std::string::npos);
  d.config().record_key = std::make_shared<const SigningKey>(key_of<SigningKey>(22, 0));
  CHECK(refused(d, rows).message.find("record key") != std::string::npos);
}

TEST_CASE("record: after a restore the next job has none of the numbers that may have been lost") {
  Driver d(1);
  d.join_all();
  REQUIRE(std::holds_alternative<Submitted>(d.submit(job_text(), 1)));
  Batch restored;
  restored.put(std::string(kJobFloorRow), job_floor_value(1001));
  REQUIRE(d.store.write(restored));
  d.restart();
  for (const std::uint64_t nonce : {2U, 3U}) {
    const auto answer = d.submit(job_text(), nonce);
    REQUIRE(std::holds_alternative<Submitted>(answer));
    CHECK(std::get<Submitted>(answer).job == 999 + nonce);
  }
  Batch bad;
  bad.put(std::string(kJobFloorRow), Bytes{1, 2});
  REQUIRE(d.store.write(bad));
  CHECK(refused(d, *d.store.scan("")).code == ErrorCode::kCorrupted);
}

TEST_CASE("record: the epoch rises at every start and is durable before anyone hears of it") {
  Driver d(1);
  d.join_all();
  CHECK(d.last<JoinAccepted>(d.client(0).key())->epoch == 1);
  REQUIRE(std::holds_alternative<Submitted>(d.submit(job_text())));
  const std::set<Digest> published = d.published;
  CHECK_FALSE(published.empty());
  d.withhold_writes = true;
  d.restart();
  CHECK(d.published == published);  // nobody is turned away meanwhile
  CHECK(d.admitted.at(d.client(0).key()) == Admission::kMember);
  CHECK(d.admitted.at(boss().key()) == Admission::kMember);
  d.join_all();
  d.join_all();  // asked again: the answer waits as well
  CHECK(d.count<JoinAccepted>() == 1);
  d.release_writes();
  CHECK(d.last<JoinAccepted>(d.client(0).key())->epoch == 2);
  CHECK(epoch_of_value(d.store.get(kEpochRow).value().value()).value() == 2);
  d.restart();
  d.join_all();
  CHECK(d.last<JoinAccepted>(d.client(0).key())->epoch == 3);
  CHECK(chains_of(d).of(AuditKind::kStarted).back().number == 3);
}

TEST_CASE("record: operators read both chains, page by page") {
  Driver d(40);
  begin(d, "[selection]\nmin_clients = 2\n", 3);
  for (int round = 0; round < 4; ++round) deliver_all(d, 40);
  REQUIRE(d.job().state == JobState::kFinished);
  const auto read = [&](auto verb) {
    std::vector<ChainRecord> all;
    for (std::size_t pages = 0;; ++pages) {
      REQUIRE(pages < 20);
      verb.after = all.size();
      const auto rows = std::get<ChainRows>(d.ask(verb)).rows;
      if (rows.empty()) return all;
      std::size_t bytes = 0;
      for (const ChainRecord& record : rows) bytes += encode(record).size();
      CHECK(bytes <= kChainPageBytesMax);
      all.insert(all.end(), rows.begin(), rows.end());
    }
  };
  const std::vector<ChainRecord> audit = read(ListAudit{});
  CHECK(audit.size() > kChainPageRowsMax / 2);
  CHECK(replayed(audit, d).audit == chains_of(d).audit);
  CHECK(read(ListLedger{}).size() == 4);
  CHECK(std::get<ChainRows>(d.ask(ListAudit{~std::uint64_t{0}})).rows.empty());
  d.from(d.client(0), OperatorRequest{7, ListAudit{}});
  CHECK(std::get<Error>(d.last<OperatorReply>(d.client(0).key())->answer).code == ErrorCode::kPermissionDenied);
  d.hold_work = true;
  for (std::uint64_t n = 0; n < 20; ++n) d.from(boss(), OperatorRequest{1000 + n, ListLedger{n}});
  CHECK(d.held_work.size() == 16);
  CHECK(std::get<Error>(d.last<OperatorReply>(boss().key())->answer).code == ErrorCode::kUnavailable);
  d.deliver(WorkFailed{d.held_work[0].ticket, Error{ErrorCode::kCorrupted, "the disk lies"}});
  CHECK(std::get<Error>(d.last<OperatorReply>(boss().key())->answer).message.find("the disk lies") != std::string::npos);
}

}  // namespace covey
