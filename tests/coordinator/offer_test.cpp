// Offers that get lost, clients that decline for good, and what must be durable when a round closes.
#include <algorithm>
#include <set>

#include "tests/coordinator/driver.h"

namespace covey {
namespace {

const std::string kTwo = "[selection]\nmin_clients = 2\n";

void begin(Driver& d, const std::string& more = kTwo, std::uint32_t rounds = 2) {
  d.join_all();
  REQUIRE(std::holds_alternative<Submitted>(d.submit(job_text(more, rounds))));
}
std::size_t offers(const Driver& d, std::size_t client, JobId job = 1) {
  std::size_t n = 0;
  for (const RoundOffer& offer : d.all<RoundOffer>(d.client(client).key())) n += offer.key.job == job;
  return n;
}
// Moves the time on while the first `clients` stay alive.
void live(Driver& d, Duration by, std::size_t clients) {
  for (Duration done{}; done < by; done += 1s) {
    d.advance(1s);
    for (std::size_t n = 0; n < clients; ++n) d.from(d.client(n), Heartbeat{1});
  }
}

}  // namespace

TEST_CASE("offer: repeated over a new connection to those who have not delivered") {
  Driver d(3);
  begin(d, "[selection]\nmin_clients = 3\n[round]\nquorum = 1.0\n");
  d.deliver_update(d.client(1));
  d.from(d.client(2), RoundAccept{{1, 1, 1}});
  d.advance(2s);
  for (std::size_t n = 0; n < 3; ++n) d.from(d.client(n).link(2), Heartbeat{1});
  CHECK(offers(d, 0) == 2);
  CHECK(offers(d, 1) == 1);
  CHECK(offers(d, 2) == 2);
  CHECK(d.offer_to(d.client(0))->deadline == 598s);
  for (std::uint64_t session = 3; session < 100; ++session) d.from(d.client(0).link(session), Heartbeat{1});
  CHECK(offers(d, 0) == 2);  // not with every connection
  d.advance(2s);
  d.join(d.client(0), 1, 100);
  CHECK(offers(d, 0) == 3);
  CHECK(d.sent.back().to.session == 100);
}

TEST_CASE("offer: repeated to those who do not answer, less often to those who work") {
  Driver d(3);
  begin(d, "[selection]\nmin_clients = 3\n[round]\nquorum = 1.0\n");
  d.from(d.client(1), RoundAccept{{1, 1, 1}});
  d.deliver_update(d.client(2));
  live(d, 9s, 3);
  CHECK(offers(d, 0) == 1);
  live(d, 2s, 3);
  CHECK(offers(d, 0) == 2);
  live(d, 18s, 3);
  CHECK(offers(d, 1) == 1);
  live(d, 2s, 3);
  CHECK(offers(d, 1) == 2);
  CHECK(offers(d, 2) == 1);
}

TEST_CASE("offer: never after the deadline") {
  Driver d(2);
  begin(d, kTwo + "[round]\ndeadline_s = 10\n");
  d.now += 11s;  // the deadline's timer is late
  d.from(d.client(0).link(2), Heartbeat{1});
  d.deliver(TimerFired{"tick"});
  CHECK(offers(d, 0) == 1);
  CHECK(offers(d, 1) == 1);
}

TEST_CASE("offer: a client that declined, and works for another job, is left alone when it rejoins") {
  Driver d(2, 2);
  begin(d, "[selection]\nmin_clients = 1\n");
  d.from(d.client(0), RoundDecline{{1, 1, 1}, DeclineReason::kPolicy, "not here"});
  d.submit(job_text("[selection]\nmin_clients = 1\n"), 2);
  REQUIRE(offers(d, 0, 2) == 1);
  d.join(d.client(0), 2, 2);  // a new process takes over
  d.advance(3s);
  CHECK(offers(d, 0, 1) == 1);
  CHECK(offers(d, 0, 2) == 2);
  d.deliver_update(d.client(1));
  CHECK(d.job(1).round == 1);
  CHECK(offers(d, 0, 1) == 1);  // it still works for the other job
}

TEST_CASE("declined: the reason is told, and when nobody is left the next job gets its turn") {
  Driver d(3);
  begin(d, kTwo + "[round]\ndeadline_s = 30\n");
  d.submit(job_text(kTwo), 2);
  d.from(d.client(0), RoundDecline{{1, 1, 1}, DeclineReason::kData, "no such data"});
  for (std::size_t n = 1; n < 3; ++n)
    d.from(d.client(n), RoundDecline{{1, 1, 1}, DeclineReason::kMemory, "needs 9 GiB"});
  live(d, 6s, 3);
  const std::string text = "waiting for clients: 0 of 2 that can take part; 3 declined for good, e.g. ";
  const std::string said = d.job().text;
  CHECK(said.starts_with(text));
  CHECK(said.ends_with(": memory: needs 9 GiB"));
  bool in_journal = false;
  const auto journal = d.store.scan("journal/");
  for (const Row& row : journal.value())
    in_journal = in_journal || std::string(row.value.begin(), row.value.end()).find(said) != std::string::npos;
  CHECK(in_journal);
  std::set<std::string> declined;
  const auto entries = std::get<JournalRows>(d.ask(ReadJournal{1, 0})).rows;
  for (const JournalEntry& entry : entries)
    if (entry.text.find(" declined (") != std::string::npos) declined.insert(entry.text);
  CHECK(declined.size() == 3);
  CHECK(std::count_if(declined.begin(), declined.end(), [](const auto& one) { return one.ends_with("declined (data): no such data"); }) == 1);
  live(d, 20s, 3);
  CHECK(d.job().state == JobState::kRunning);
  live(d, 15s, 3);
  CHECK(d.job().state == JobState::kFailed);
  CHECK(d.job().text == said);
  CHECK(d.job(2).state == JobState::kRunning);
  CHECK(offers(d, 0, 2) > 0);
}

TEST_CASE("failed: what a client could not train on is in the journal, once a round") {
  Driver d(3);
  begin(d, kTwo + "[round]\ndeadline_s = 30\n");
  for (int twice = 0; twice < 2; ++twice)
    d.from(d.client(0), RoundFailed{{1, 1, 1}, {ErrorCode::kInvalidData, "a.tokens: with it 101 records are damaged in this epoch"}});
  const auto entries = std::get<JournalRows>(d.ask(ReadJournal{1, 0})).rows;
  CHECK(std::count_if(entries.begin(), entries.end(), [](const JournalEntry& entry) {
          return entry.text.starts_with("round 1: ") && entry.text.ends_with(" failed to train: a.tokens: with it 101 records are damaged in this epoch");
        }) == 1);
}

TEST_CASE("declined: a job whose clients are only away goes on waiting") {
  Driver d(2);
  begin(d, kTwo + "[round]\ndeadline_s = 30\n");
  for (std::size_t n = 0; n < 2; ++n)
    d.from(d.client(n), RoundDecline{{1, 1, 1}, DeclineReason::kPolicy, "not here"});
  live(d, 6s, 2);
  CHECK(d.job().text.find("2 declined for good") != std::string::npos);
  d.from(d.client(0), Leave{});
  d.advance(60s);
  CHECK(d.job().state == JobState::kRunning);
  // It goes on waiting, and says what would end that.
  CHECK(d.job().text.find("who declined for good is asked again when its covey-client starts anew; `covey stop 1` ends the job") !=
        std::string::npos);
  CHECK(d.job().text.ends_with("policy: not here"));
}

TEST_CASE("close: the cohort hears of a commit only when it is durable") {
  Driver d(2);
  begin(d);
  d.deliver_update(d.client(0));
  d.hold_work = true;
  d.deliver_update(d.client(1));
  d.finish_work(StartWork(d.held_work.back()));  // the check: its row is durable
  CHECK(d.count<UpdateAccepted>() == 2);
  d.withhold_writes = true;
  d.finish_work(StartWork(d.held_work.back()));  // the sum
  REQUIRE(!d.withheld.empty());
  CHECK(d.count<RoundClosed>() == 0);
  CHECK(d.count<RoundOffer>() == 2);
  d.release_writes();
  CHECK(d.count<RoundClosed>() == 2);
  CHECK(d.last<RoundClosed>(d.client(0).key())->committed);
  CHECK(d.count<RoundOffer>() == 4);
}

TEST_CASE("close: a member that lives and never delivers does not hold the round open, nor after a restart") {
  for (const bool restart : {false, true}) {
    CAPTURE(restart);
    Driver d(2);
    begin(d, "[selection]\nmin_clients = 1\n[round]\nquorum = 0.5\ndeadline_s = 60\n");
    d.from(d.client(1), RoundAccept{{1, 1, 1}});
    d.deliver_update(d.client(0));
    if (restart) {
      d.restart();
      d.join_all();
    }
    live(d, 59s, 2);
    CHECK(d.job().round == 0);
    live(d, 2s, 2);
    CHECK(d.job().round == 1);
    CHECK(d.logged("node_lost") == 0);
  }
}

TEST_CASE("close: an update that comes while the round is being committed is refused") {
  Driver d(3);
  begin(d, "[selection]\nmin_clients = 3\n[round]\nquorum = 0.5\ndeadline_s = 10\n");
  d.deliver_update(d.client(0));
  d.deliver_update(d.client(1));
  const UpdateReady late = d.ready(d.client(2), d.offer_to(d.client(2)).value());
  d.hold_work = true;
  d.advance(10s);
  REQUIRE(d.held_work.size() == 1);
  d.from(d.client(2), late);
  const auto refused = d.last<UpdateRefused>(d.client(2).key());
  REQUIRE(refused);
  CHECK(refused->error.code == ErrorCode::kUnavailable);
  CHECK(d.held_work.size() == 1);  // nobody checks it
  d.hold_work = false;
  d.finish_work(StartWork(d.held_work.front()));
  CHECK(d.all<UpdateAccepted>(d.client(2).key()).empty());
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.at(0).delivered == 2);
}

TEST_CASE("close: the models that a restart needs are kept, round after round") {
  Driver d(2);
  begin(d, kTwo, 7);
  for (std::uint32_t round = 1; round <= 7; ++round) {
    CAPTURE(round);
    for (std::size_t n = 0; n < 2; ++n) d.deliver_update(d.client(n));
    REQUIRE(d.job().round == round);
    const std::vector<float> model = d.latest_model();
    const std::size_t kept = std::min<std::size_t>(round + 1, 3);  // the first, and the last two
    CHECK(d.store.scan("model/").value().size() == kept);
    d.restart();
    CHECK(d.store.scan("model/").value().size() == kept);
    CHECK(d.job().round == round);
    CHECK(d.latest_model() == model);
    CHECK(d.published.contains(d.job().model.id));
    d.sent.clear();
    d.join_all();
    REQUIRE(d.offer_to(d.client(0)));
    CHECK(d.offer_to(d.client(0))->key == RoundKey{1, round + 1, 1});
  }
  d.deliver_update(d.client(0));
  d.deliver_update(d.client(1));
  CHECK(d.job().state == JobState::kFinished);
}

TEST_CASE("close: a restart right after a commit goes on with the next round") {
  Driver d(2);
  begin(d);
  d.deliver_update(d.client(0));
  d.hold_work = true;
  d.deliver_update(d.client(1));
  d.finish_work(StartWork(d.held_work.back()));
  for (std::size_t n = 0; n < 2; ++n) d.from(d.client(n), Leave{});  // so that no next round is written
  d.hold_work = false;
  d.finish_work(StartWork(d.held_work.back()));
  CHECK(d.store.scan("round/").value().empty());
  d.restart();
  CHECK(d.job().round == 1);
  d.sent.clear();
  d.join_all();
  CHECK(d.offer_to(d.client(0))->key == RoundKey{1, 2, 1});
}

}  // namespace covey
