// A client that dies and starts again from its rows, at every phase; attempts that end without a sum.
#include "tests/client/secure_cohort.h"

using namespace covey;

namespace {

std::string reason_of(const SecureSite& site) {
  const auto declines = site.all_said<RoundDecline>();
  REQUIRE(declines.size() == 1);
  CHECK(declines[0].reason == DeclineReason::kPolicy);
  return declines[0].text;
}
// Offered again, and invited to the same attempt.
void offer_again(SecureCohort& cohort, std::uint32_t who) {
  SecureSite& site = cohort.at(who);
  site.said.clear();
  site.hear(cohort.offer);
  if (!site.all_said<RoundAccept>().empty()) site.hear(SecAggNote{cohort.offer.key, cohort.server->invitation()});
}
void restart(SecureCohort& cohort, std::uint32_t who) {
  cohort.at(who).crash();
  cohort.at(who).start();
}
// The fourth client joins, comes this many phases further, and is started again: its keys are gone.
void until_joined_and_lost(SecureCohort& cohort, int phases) {
  for (const auto& site : cohort.sites) site->hold_training = true;
  cohort.offer_all();
  if (phases > 0) cohort.share();
  if (phases > 1) cohort.confirm();
  restart(cohort, 3);
}
bool answers_nothing(SecureCohort& cohort, std::uint32_t who, const Bytes& content) {
  SecureSite& site = cohort.at(who);
  site.said.clear();
  site.hear(SecAggNote{cohort.offer.key, content});
  return site.said.empty();
}
OutcomeMessage abort_of(SecureCohort& cohort) {
  cohort.send(cohort.server->abort());
  cohort.carry();
  REQUIRE(cohort.server->certificate().has_value());
  REQUIRE(cohort.server->certificate()->verdict == Verdict::kAbort);
  return *cohort.server->certificate();
}
void close_for_all(SecureCohort& cohort, bool committed) {
  for (const auto& site : cohort.sites) {
    site->hear(RoundClosed{cohort.offer.key, committed, ""});
    site->said.clear();
  }
}

}  // namespace

TEST_CASE("secure crash: before it joined, a client joins as if nothing had been") {
  SecureCohort cohort;
  cohort.at(0).hear(cohort.offer);
  restart(cohort, 0);
  cohort.whole_round();
  CHECK(cohort.server->survivors().count() == 5);
  cohort.check_exact();
}

TEST_CASE("secure crash: once it joined, a client declines that attempt and takes the next") {
  for (const int phase : {0, 1, 2}) {
    CAPTURE(phase);
    SecureCohort cohort;
    until_joined_and_lost(cohort, phase);
    offer_again(cohort, 3);
    CHECK(reason_of(cohort.at(3)).find("joined before") != std::string::npos);
    // Nobody has masked: the coordinator just begins again.
    for (const auto& site : cohort.sites) site->hold_training = false;
    close_for_all(cohort, false);
    cohort.begin(secure_offer(1, 2));
    cohort.whole_round();
    CHECK(cohort.server->survivors().count() == 5);
    cohort.check_exact();
  }
}

TEST_CASE("secure crash: told to go on with an attempt whose keys are gone, a client says so and is free for the next") {
  for (const int phase : {0, 1, 2}) {
    CAPTURE(phase);
    SecureCohort cohort;
    until_joined_and_lost(cohort, phase);
    SecureSite& site = cohort.at(3);
    site.said.clear();
    site.hear(cohort.offer);
    REQUIRE(site.all_said<RoundAccept>().size() == 1);
    const auto goes_on = phase == 0 ? cohort.server->close_joins() : phase == 1 ? cohort.server->close_shares() : cohort.server->close_confirmations();
    REQUIRE(goes_on.has_value());
    for (const Outgoing& one : *goes_on)
      if (std::find(one.to.begin(), one.to.end(), cohort.place_of(3)) != one.to.end()) site.hear(SecAggNote{cohort.offer.key, one.message});
    REQUIRE(site.all_said<RoundDecline>().size() == 1);
    CHECK(site.all_said<RoundDecline>()[0].reason == DeclineReason::kBusy);
    CHECK(site.all_said<RoundDecline>()[0].text.find("restarted") != std::string::npos);
    site.said.clear();
    site.hear(secure_offer(1, 2));
    CHECK(site.all_said<RoundAccept>().size() == 1);
  }
}

TEST_CASE("secure crash: between the record and the vectors, a member counts as one who masked") {
  SecureCohort cohort;
  cohort.offer_all();
  cohort.share();
  cohort.confirm();
  SecureSite& site = cohort.at(3);
  site.hold_writes = true;
  cohort.mask();
  CHECK_FALSE(site.masked.has_value());
  site.hold_writes = false;
  restart(cohort, 3);
  CHECK(site.state_of(sid_of(cohort.server->config())) == AttemptState::kMasked);
  offer_again(cohort, 3);
  CHECK_FALSE(reason_of(site).empty());
  cohort.silent.insert(3);
  cohort.agree();
  CHECK(cohort.server->survivors().count() == 4);
  cohort.check_exact();
}

TEST_CASE("secure crash: masked vectors that are durable are delivered after it, and nothing else is answered") {
  SecureCohort cohort;
  cohort.offer_all();
  cohort.share();
  cohort.confirm();
  SecureSite& site = cohort.at(3);
  cohort.send(cohort.server->close_confirmations());
  REQUIRE(site.all_said<MaskedReady>().size() == 1);
  const MaskedReady first = site.all_said<MaskedReady>()[0];
  restart(cohort, 3);
  CHECK(site.published.contains(first.vectors.id));
  const auto named = referenced_blobs(site.rows);
  REQUIRE(named.has_value());
  CHECK(std::count(named->begin(), named->end(), first.vectors.id) == 1);
  site.said.clear();
  site.hear(cohort.offer);
  REQUIRE(site.all_said<MaskedReady>().size() == 1);
  CHECK(site.all_said<MaskedReady>()[0] == first);
  cohort.carry();
  CHECK(cohort.server_refusals.empty());
  const auto survivors = cohort.server->close_masks(Digest{{77}});
  REQUIRE(survivors.has_value());
  CHECK(cohort.server->survivors().contains(cohort.place_of(3)));
  for (const Outgoing& o : *survivors)
    if (o.to == std::vector<std::uint32_t>{cohort.place_of(3)}) CHECK(answers_nothing(cohort, 3, o.message));
  cohort.send(survivors);
  cohort.carry();
  CHECK(cohort.server->phase() == SecAggServer::Phase::kUnmasking);
  CHECK(answers_nothing(cohort, 3, encode(SecAggMessage(*cohort.server->certificate()))));
  cohort.check_exact();  // its own mask was opened by the others
}

TEST_CASE("secure crash: after its vote a client answers nothing more of the attempt") {
  SecureCohort cohort;
  cohort.until_masked();
  const auto survivors = cohort.server->close_masks(Digest{{77}});
  REQUIRE(survivors.has_value());
  for (const Outgoing& o : *survivors) cohort.note(cohort.site_at(o.to[0]), o.message);
  restart(cohort, 3);
  SecureSite& site = cohort.at(3);
  CHECK(site.state_of(sid_of(cohort.server->config())) == AttemptState::kVotedCommit);
  site.said.clear();
  cohort.carry();
  CHECK(cohort.server->phase() == SecAggServer::Phase::kUnmasking);
  CHECK(answers_nothing(cohort, 3, encode(SecAggMessage(*cohort.server->certificate()))));
  for (const Outgoing& o : *survivors) CHECK(answers_nothing(cohort, 3, o.message));
  cohort.check_exact();
}

TEST_CASE("secure abort: a masked member sits out until it is shown the committee's ABORT") {
  SecureCohort cohort;
  cohort.until_masked();
  const Digest sid = sid_of(cohort.server->config());
  const RoundKey before = cohort.offer.key;
  cohort.silent = {4};  // away while the others agree
  const OutcomeMessage outcome = abort_of(cohort);
  for (std::uint32_t i = 0; i < 4; ++i) CHECK(cohort.at(i).state_of(sid) == AttemptState::kAborted);
  CHECK(cohort.at(4).state_of(sid) == AttemptState::kMasked);
  cohort.silent.clear();
  SecureSite& away = cohort.at(4);
  SUBCASE("still running") {}
  SUBCASE("restarted") { restart(cohort, 4); }
  SUBCASE("closed") { away.hear(RoundClosed{before, false, "aborted"}); }

  for (std::uint32_t i = 0; i < 4; ++i) cohort.at(i).hear(RoundClosed{before, false, "aborted"});
  cohort.begin(secure_offer(1, 2));
  cohort.offer_all();
  REQUIRE(cohort.declined.contains(4));
  CHECK(cohort.declined[4].text.find("masked update is out") != std::string::npos);
  CHECK(cohort.server->joined() == 4);

  away.hear(SecAggNote{before, encode(SecAggMessage(outcome))});
  CHECK(away.state_of(sid) == AttemptState::kAborted);
  CHECK(away.logged("aggregation_aborted"));
  close_for_all(cohort, false);
  cohort.begin(secure_offer(1, 3));
  cohort.whole_round();
  CHECK(cohort.server->survivors().count() == 5);
  cohort.check_exact();
}

TEST_CASE("secure abort: members that restarted still vote to abort what they masked for, once and durably") {
  SecureCohort cohort;
  cohort.until_masked();
  const Digest sid = sid_of(cohort.server->config());
  const AttemptId id = cohort.server->cohort()->id();
  for (std::uint32_t i = 0; i < 5; ++i) {
    restart(cohort, i);
    cohort.at(i).said.clear();
  }
  SecureSite& site = cohort.at(0);
  AttemptId other = id;
  other.root.bytes[0] ^= 1;
  CHECK(answers_nothing(cohort, 0, encode(SecAggMessage(AbortRequestMessage{other}))));
  site.hold_writes = true;
  CHECK(answers_nothing(cohort, 0, encode(SecAggMessage(AbortRequestMessage{id}))));  // not durable yet
  CHECK(answers_nothing(cohort, 0, encode(SecAggMessage(AbortRequestMessage{id}))));
  REQUIRE(site.held_writes.size() == 1);
  site.write_done();
  CHECK(site.all_noted<VoteMessage>().size() == 1);
  CHECK(site.state_of(sid) == AttemptState::kVotedAbort);
  site.hold_writes = false;
  site.said.clear();
  abort_of(cohort);
  for (std::uint32_t i = 0; i < 5; ++i) CHECK(cohort.at(i).state_of(sid) == AttemptState::kAborted);
  close_for_all(cohort, false);
  cohort.begin(secure_offer(1, 2));
  cohort.whole_round();
  CHECK(cohort.server->survivors().count() == 5);
  cohort.check_exact();
}

TEST_CASE("secure abort: who voted for the sum may still vote for an ABORT, also after a restart, and reveals nothing then") {
  SecureCohort cohort;
  cohort.until_masked();
  const AttemptId id = cohort.server->cohort()->id();
  const auto survivors = cohort.server->close_masks(Digest{{77}});
  REQUIRE(survivors.has_value());
  for (const Outgoing& o : *survivors) cohort.note(cohort.site_at(o.to[0]), o.message);
  OutcomeMessage commit{id, Verdict::kCommit, {}};
  for (std::uint32_t place = 0; place < 5; ++place) {
    const SecureSite& site = cohort.at(cohort.site_at(place));
    REQUIRE_FALSE(site.all_noted<VoteMessage>().empty());
    commit.signatures.push_back({place, site.all_noted<VoteMessage>().back().signature});
  }
  for (std::uint32_t i = 0; i < 5; ++i) {
    if (i % 2 == 0) restart(cohort, i);
    SecureSite& site = cohort.at(i);
    CHECK(site.state_of(id.sid) == AttemptState::kVotedCommit);
    if (i == 1) {  // one reveals before it is asked: it signs no ABORT
      site.said.clear();
      cohort.note(i, encode(SecAggMessage(commit)));
      CHECK(site.all_noted<UnmaskMessage>().size() == 1);
      CHECK(answers_nothing(cohort, i, encode(SecAggMessage(AbortRequestMessage{id}))));
      CHECK(site.state_of(id.sid) == AttemptState::kUnmasked);
      continue;
    }
    site.said.clear();
    site.hold_writes = true;
    CHECK(answers_nothing(cohort, i, encode(SecAggMessage(AbortRequestMessage{id}))));  // not durable yet
    site.write_done();
    site.hold_writes = false;
    REQUIRE(site.all_noted<VoteMessage>().size() == 1);
    CHECK(site.all_noted<VoteMessage>()[0].verdict == Verdict::kAbort);
    CHECK(site.state_of(id.sid) == AttemptState::kVotedAbort);
    CHECK(answers_nothing(cohort, i, encode(SecAggMessage(commit))));
  }
}

TEST_CASE("secure abort: a certificate that is none changes nothing") {
  SecureCohort cohort;
  cohort.until_masked();
  const Digest sid = sid_of(cohort.server->config());
  cohort.silent = {4};
  const OutcomeMessage good = abort_of(cohort);
  SecureSite& away = cohort.at(4);
  const std::function<void(OutcomeMessage&)> changes[] = {
      [](OutcomeMessage& m) { m.signatures.resize(2); },
      [](OutcomeMessage& m) { m.signatures[1] = m.signatures[0]; },
      [](OutcomeMessage& m) { m.signatures[1].signature.bytes[5] ^= 1; },
      [](OutcomeMessage& m) { m.verdict = Verdict::kCommit; },
      [](OutcomeMessage& m) { m.id.root.bytes[1] ^= 1; },
      [](OutcomeMessage& m) { m.id.sid.bytes[1] ^= 1; },
  };
  for (const bool closed : {false, true}) {
    if (closed) away.hear(RoundClosed{cohort.offer.key, false, "aborted"});
    for (const auto& change : changes) {
      OutcomeMessage bad = good;
      change(bad);
      away.hear(SecAggNote{cohort.offer.key, encode(SecAggMessage(bad))});
      CHECK(away.state_of(sid) == AttemptState::kMasked);
    }
  }
  away.hear(SecAggNote{cohort.offer.key, encode(SecAggMessage(good))});
  CHECK(away.state_of(sid) == AttemptState::kAborted);
}

TEST_CASE("secure abort: a committed model may not be summed again, by whatever job") {
  SecureCohort cohort;
  cohort.whole_round();
  close_for_all(cohort, true);
  RoundOffer other = secure_offer(1);
  other.key.job = 2;
  cohort.begin(other);
  cohort.offer_all();
  CHECK(cohort.server->joined() == 0);
  CHECK(cohort.declined.size() == 5);
  // The round after it, of another model, goes on.
  cohort.declined.clear();
  cohort.begin(secure_offer(2));
  cohort.whole_round();
  cohort.check_exact();
}

TEST_CASE("secure crash: rows of attempts that do not verify stop the start by name") {
  SecureCohort cohort;
  cohort.offer_all();
  cohort.share();
  cohort.confirm();
  cohort.send(cohort.server->close_confirmations());
  const SecureSite& site = cohort.at(0);
  for (const std::string_view table : {"secagg/attempt/", "masked/"}) {
    std::vector<Row> bad = site.rows;
    std::size_t torn = 0;
    for (Row& row : bad)
      if (row.key.starts_with(table)) row.value.pop_back(), ++torn;
    CHECK(torn == 1);
    CHECK(Client::create(site.config, bad).error().code == ErrorCode::kCorrupted);
  }
  CHECK(Client::create(site.config, site.rows).has_value());
}
