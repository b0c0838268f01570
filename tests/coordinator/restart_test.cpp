#include "tests/coordinator/chains.h"

namespace covey {
namespace {

constexpr std::size_t kClients = 3;
const std::string kJob = job_text("[selection]\nmin_clients = 3\n[round]\nquorum = 1.0\n[server]\noptimizer = \"fedavgm\"\n");

// Operator and clients as they really are: each repeats itself until it has its answer, keeps an
// update until it is accepted, and rejoins when told to, or when the coordinator was gone.
struct Play {
  Driver d{static_cast<std::uint8_t>(kClients)};
  std::string job = kJob;
  std::size_t seen = 0;  // of d.sent
  std::map<PeerKey, std::optional<UpdateReady>> kept;
  bool submitted = false;
  std::map<std::pair<PeerKey, RoundKey>, int> acknowledged;

  const Identity& of(const PeerKey& peer) const {
    for (std::size_t n = 0; n < kClients; ++n)
      if (d.client(n).key() == peer) return d.client(n);
    REQUIRE(false);
    return d.client(0);
  }
  void revive() {
    if (d.alive()) return;
    d.start();
    for (std::size_t n = 0; n < kClients && d.alive(); ++n) {
      d.join(d.client(n));
      if (d.alive() && kept[d.client(n).key()]) d.from(d.client(n), *kept[d.client(n).key()]);
    }
  }
  void answer(const Send& send) {
    const PeerKey peer = send.to.peer;
    if (const auto* reply = std::get_if<OperatorReply>(&send.message))
      submitted = submitted || std::holds_alternative<Submitted>(reply->answer);
    if (const auto* offer = std::get_if<RoundOffer>(&send.message)) {
      d.from(of(peer), RoundAccept{offer->key});
      if (!kept[peer] || kept[peer]->key != offer->key) kept[peer] = d.ready(of(peer), *offer);
      if (d.alive()) d.from(of(peer), *kept[peer]);
    }
    if (const auto* accepted = std::get_if<UpdateAccepted>(&send.message)) {
      ++acknowledged[{peer, accepted->key}];
      if (kept[peer] && kept[peer]->key == accepted->key) kept[peer].reset();
    }
    if (const auto* refused = std::get_if<UpdateRefused>(&send.message))
      if (kept[peer] && kept[peer]->key == refused->key) kept[peer].reset();
  }
  // To the end of the job; false when it did not come to one.
  bool run() {
    d.join_all();
    for (int turn = 0; turn < 200; ++turn) {
      revive();
      if (!submitted && d.alive()) d.submit(job, 1);
      while (d.alive() && seen < d.sent.size()) answer(Send(d.sent[seen++]));
      if (!d.alive()) continue;
      if (submitted && seen == d.sent.size() && d.logged("job_finished") > 0) return true;
      if (seen < d.sent.size()) continue;
      if (!d.alive()) continue;
      d.advance(4s);
      for (std::size_t n = 0; n < kClients && d.alive(); ++n) {
        d.from(d.client(n), Heartbeat{1});
        if (d.alive() && kept[d.client(n).key()]) d.from(d.client(n), *kept[d.client(n).key()]);
      }
    }
    return false;
  }
};

}  // namespace

TEST_CASE("restart: a crash at any event of a job changes nothing of its result") {
  Play calm;
  calm.d.handled = 0;
  REQUIRE(calm.run());
  const std::uint64_t events = calm.d.handled;
  const auto expected = calm.d.latest_model();
  CHECK(calm.d.job().round == 2);
  CHECK(events > 40);
  for (const Crash how : {Crash::kBeforeWrites, Crash::kAfterWrites})
    for (std::uint64_t at = 1; at <= events; ++at) {
      CAPTURE(at);
      Play play;
      play.d.handled = 0;
      play.d.crash_at = at;
      play.d.crash_how = how;
      const bool ended = play.run();
      CHECK(play.d.handled >= at);  // the crash came
      play.d.crash_at.reset();
      if (!ended) play.revive();    // it came between the job's end and the news of it
      REQUIRE(play.d.alive());
      CHECK(play.d.job().state == JobState::kFinished);
      const auto detail = std::get<JobDetail>(play.d.ask(ShowJob{1, 0}));
      REQUIRE(detail.metrics.size() == 3);
      for (std::uint32_t round = 1; round <= 3; ++round) {
        CHECK(detail.metrics[round - 1].round == round);
        CHECK(detail.metrics[round - 1].attempt == 1);
        if (round <= 2) CHECK(detail.metrics[round - 1].delivered == kClients);
      }
      CHECK(play.d.latest_model() == expected);
      for (const auto& [key, client] : play.kept) CHECK_FALSE(client);  // everyone was told
    }
}

TEST_CASE("restart: a crash at any write, whether it survives or not, releases each round once and by one ledger record") {
  Play calm;
  REQUIRE(calm.run());
  const std::uint64_t writes = calm.d.writes;
  const auto expected = calm.d.latest_model();
  CHECK(writes > 20);
  for (const Crash how : {Crash::kBeforeWrites, Crash::kAfterWrites})
    for (std::uint64_t at = Play().d.writes + 1; at <= writes; ++at) {
      CAPTURE(at);
      Play play;
      play.d.crash_at_write = at;
      play.d.crash_how = how;
      const bool ended = play.run();
      CHECK(play.d.writes >= at);  // the crash came
      play.d.crash_at_write.reset();
      if (!ended) play.revive();
      REQUIRE(play.d.alive());
      CHECK(play.d.job().state == JobState::kFinished);
      CHECK(play.d.latest_model() == expected);
      const Chains chains = chains_of(play.d);
      CHECK(chains.ledger.size() == 3);
      CHECK(chains.of(AuditKind::kReleased).size() == 3);
      CHECK(chains.of(AuditKind::kAbandoned).empty());
      CHECK(chains.of(AuditKind::kJobSubmitted).size() == 1);
      CHECK(chains.of(AuditKind::kEnrolled).size() == kClients + 1);
    }
}

TEST_CASE("restart: accepted updates are kept, and only the others are asked again") {
  Driver d(3);
  d.join_all();
  d.submit(kJob);
  d.deliver_update(d.client(0));
  d.restart();
  CHECK(d.job().delivered == 1);
  CHECK(d.published.contains(d.job().model.id));
  d.sent.clear();
  d.join_all();
  CHECK_FALSE(d.offer_to(d.client(0)));
  CHECK(d.offer_to(d.client(1))->key == RoundKey{1, 1, 1});
  CHECK(d.offer_to(d.client(1))->deadline == 600s);
  d.deliver_update(d.client(1));
  d.deliver_update(d.client(2));
  CHECK(d.job().round == 1);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics[0].delivered == 3);
}

TEST_CASE("restart: a round with its quorum gives its members time to come back") {
  Driver d(2);
  d.join_all();
  d.submit(job_text("[selection]\nmin_clients = 1\n[round]\nquorum = 0.5\n"));
  d.deliver_update(d.client(0));
  d.restart();
  CHECK(d.job().round == 0);
  d.advance(19s);
  CHECK(d.job().round == 0);
  d.advance(1s);  // kLinkTimeout: who has not come back by now is lost
  CHECK(d.job().round == 1);
}

TEST_CASE("restart: when all had delivered it commits at once") {
  Driver d(2);
  d.join_all();
  d.submit(job_text("[selection]\nmin_clients = 2\n"));
  d.deliver_update(d.client(0));
  d.hold_work = true;
  d.deliver_update(d.client(1));
  d.finish_work(StartWork(d.held_work.back()));
  d.hold_work = false;
  d.held_work.clear();
  d.restart();
  CHECK(d.job().round == 1);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics[0].delivered == 2);
}

TEST_CASE("restart: with another wall clock a round's seconds stay those of a round") {
  const auto seconds_after = [](Duration jump) {
    Driver d(2);
    d.join_all();
    d.submit(job_text("[selection]\nmin_clients = 2\n"));
    d.deliver_update(d.client(0));
    d.advance(8s);
    d.now += jump;
    d.restart();
    d.join_all();
    d.advance(2s);
    d.deliver_update(d.client(1));
    REQUIRE(d.job().round == 1);
    const RoundMetrics metrics = std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.at(0);
    CHECK(metrics.committed == d.now);
    return seconds(metrics.committed - metrics.started);
  };
  CHECK(seconds_after({}) == doctest::Approx(10));
  CHECK(seconds_after(20h) == doctest::Approx(72010));  // it may have been down for so long
  CHECK(seconds_after(-365 * 24h) == doctest::Approx(2));
  CHECK(seconds_after(300 * 24h) == doctest::Approx(2));
}

TEST_CASE("restart: a crash between a revocation and the removal of its update leaves no update behind") {
  Driver d(3);
  d.join_all();
  d.submit(kJob);
  d.deliver_update(d.client(0));
  d.withhold_writes = true;
  d.from(boss(), OperatorRequest{99, RevokeNode{"client-0"}});
  REQUIRE(d.withheld.size() == 2);
  REQUIRE(d.store.write(d.withheld[0].batch));
  d.withhold_writes = false;
  d.restart();
  CHECK(d.job().delivered == 0);
  CHECK(d.store.scan("update/").value().empty());
  d.restart();
}

TEST_CASE("shutdown: says so, and halts") {
  Driver d;
  d.deliver(ShutdownRequested{});
  REQUIRE(d.halted);
  CHECK(d.halted->exit_code == 0);
}

}  // namespace covey
