#include "tests/coordinator/driver.h"

namespace covey {
namespace {

const std::string kTwo = "[selection]\nmin_clients = 2\n";

void deliver_all(Driver& d, std::size_t clients = 2) {
  for (std::size_t n = 0; n < clients; ++n) d.deliver_update(d.client(n));
}

}  // namespace

TEST_CASE("job: from submission to the final evaluation") {
  Driver d(2);
  d.join_all();
  d.submit(job_text(kTwo));
  CHECK(d.job().state == JobState::kRunning);
  deliver_all(d);
  deliver_all(d);
  CHECK(d.job().round == 2);
  CHECK(d.job().state == JobState::kRunning);
  const RoundOffer offer = d.offer_to(d.client(0)).value();
  CHECK(offer.kind == RoundKind::kEvaluate);
  CHECK(offer.key == RoundKey{1, 3, 1});
  CHECK(offer.model == d.job().model);
  CHECK(offer.progress_end == 1);
  UpdateReady spoiled = d.ready(d.client(0), offer);
  spoiled.update = BlobRef{Digest{{1}}, 32};
  d.from(d.client(0), spoiled);
  CHECK(d.count<UpdateRefused>() == 1);
  d.deliver_update(d.client(1));
  CHECK(d.job().state == JobState::kFinished);
  CHECK(d.job().ended == d.now);
  const auto metrics = std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics;
  REQUIRE(metrics.size() == 3);
  CHECK(metrics[2].round == 3);
  CHECK(metrics[2].delivered == 1);
  CHECK(metrics[2].evaluation == EvalStats{4, 8, 2});
  CHECK(d.logged("job_finished") == 1);
  CHECK(d.logged("round_committed") == 3);
  CHECK(d.last<RoundClosed>(d.client(1).key())->committed);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 2})).metrics.size() == 1);
}

TEST_CASE("job: it finishes without an evaluation when nobody can make one") {
  Driver d(2);
  d.join_all();
  d.submit(job_text(kTwo + "[round]\ndeadline_s = 30\n", 1));
  deliver_all(d);
  for (std::size_t n = 0; n < 2; ++n) d.from(d.client(n), RoundDecline{{1, 2, 1}, DeclineReason::kData, "no holdout"});
  CHECK(d.job().state == JobState::kFinished);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.size() == 1);

  Driver e(2);
  e.join_all();
  e.submit(job_text(kTwo + "[round]\ndeadline_s = 30\n", 1));
  e.deliver_update(e.client(0));
  e.from(e.client(0), Leave{});
  e.hold_work = true;
  e.deliver_update(e.client(1));
  REQUIRE(e.held_work.size() == 1);
  e.finish_work(StartWork(e.held_work.back()));
  e.from(e.client(1), Leave{});
  REQUIRE(e.held_work.size() == 2);
  e.finish_work(StartWork(e.held_work.back()));
  CHECK(e.job().state == JobState::kRunning);
  CHECK(e.job().text.find("waiting for clients") == 0);
  e.advance(30s);
  CHECK(e.job().state == JobState::kRunning);  // so long may one rest that is there
  e.advance(60s);
  CHECK(e.job().state == JobState::kFinished);
  CHECK(e.job().text.find("the final evaluation did not succeed: waiting for clients") == 0);
}

TEST_CASE("job: a final evaluation that nobody could answer is tried again, a few times") {
  for (const bool back : {true, false}) {
    CAPTURE(back);
    const std::uint32_t most = back ? 2 : 3;  // three are the most, whatever a round may have
    Driver d(2);
    d.join_all();
    d.submit(job_text(kTwo + "[round]\ndeadline_s = 10\nattempts_max = " + std::string(back ? "2" : "50") + "\n", 1));
    deliver_all(d);
    const auto late = [&] {  // they are there, and silent about it
      for (const Duration time : {9s, 2s}) {
        for (std::size_t n = 0; n < 2; ++n) d.from(d.client(n), Heartbeat{1});
        d.advance(time);
      }
    };
    late();
    CHECK(d.job().state == JobState::kRunning);
    CHECK(d.offer_to(d.client(0))->key == RoundKey{1, 2, 2});
    if (back) deliver_all(d);
    else for (std::uint32_t attempt = 2; attempt <= most; ++attempt) late();
    CHECK(d.job().state == JobState::kFinished);
    CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.size() == (back ? 2 : 1));
    CHECK((d.job().text.find("the final evaluation did not succeed in 3 attempts: at the deadline 0 of at least 1") == 0) != back);
  }
}

TEST_CASE("job: a final evaluation for which everyone is busy is tried again; one that everyone declines ends, and says why") {
  for (const bool busy : {true, false}) {
    CAPTURE(busy);
    Driver d(2);
    d.join_all();
    d.submit(job_text(kTwo, 1));
    deliver_all(d);
    const RoundKey key = d.offer_to(d.client(0))->key;
    REQUIRE(key == RoundKey{1, 2, 1});
    for (std::size_t n = 0; n < 2; ++n)
      d.from(d.client(n), RoundDecline{key, busy ? DeclineReason::kBusy : DeclineReason::kPolicy, "not this one"});
    CHECK((d.job().state == JobState::kRunning) == busy);
    if (!busy) CHECK(d.job().text.find("2 declined for good, e.g. client-0: policy: not this one") != std::string::npos);
    if (!busy) continue;
    for (int second = 0; second < 12 && d.offer_to(d.client(0))->key == key; ++second) d.advance(1s);
    deliver_all(d);
    CHECK(d.job().state == JobState::kFinished);
    CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics.size() == 2);
  }
}

TEST_CASE("job: only the initial, the previous and the latest model are kept") {
  Driver d(2);
  d.join_all();
  d.submit(job_text(kTwo + "[server]\noptimizer = \"fedavgm\"\n", 5));
  std::vector<Digest> manifests{d.job().model.id};
  for (int round = 1; round <= 5; ++round) {
    deliver_all(d);
    manifests.push_back(d.job().model.id);
  }
  CHECK(d.blobs.has(manifests[0]));
  CHECK_FALSE(d.published.contains(manifests[0]));
  for (std::size_t v = 1; v <= 3; ++v) CHECK_FALSE(d.blobs.has(manifests[v]));
  for (std::size_t v = 4; v <= 5; ++v) {
    CHECK(d.blobs.has(manifests[v]));
    CHECK(d.published.contains(manifests[v]));
  }
  // config; 3 manifests and shards; 2 optimizer states: no update, nothing else
  CHECK(d.blobs.list().value().size() == 1 + 3 + 3 + 2);
}

TEST_CASE("job: the second waits for the first, or runs beside it where allowed") {
  Driver d(2);
  d.join_all();
  d.submit(job_text(kTwo, 1), 1);
  CHECK(std::get<Submitted>(d.submit(job_text(kTwo, 1), 2)).job == 2);
  CHECK(d.job(2).state == JobState::kPending);
  deliver_all(d);
  deliver_all(d);  // the evaluation
  CHECK(d.job(1).state == JobState::kFinished);
  CHECK(d.job(2).state == JobState::kRunning);
  CHECK(d.offer_to(d.client(0))->key == RoundKey{2, 1, 1});

  Driver e(4, 2);
  e.join_all();
  e.submit(job_text("[selection]\nmin_clients = 2\nfraction = 0.5\n"), 1);
  e.submit(job_text(kTwo), 2);
  CHECK(e.job(2).state == JobState::kRunning);
  CHECK(e.job(1).cohort == 2);
  CHECK(e.job(2).cohort == 2);  // those that are free
  for (std::size_t n = 0; n < 4; ++n) CHECK(e.all<RoundOffer>(e.client(n).key()).size() == 1);
}

TEST_CASE("job: stopped while pending, running or over") {
  Driver d(2);
  d.join_all();
  d.submit(job_text(kTwo), 1);
  d.submit(job_text(kTwo), 2);
  CHECK(std::get<Done>(d.ask(StopJob{2})).text == "job 2 stopped");
  CHECK(d.job(2).state == JobState::kStopped);
  d.deliver_update(d.client(0));
  CHECK(std::get<Done>(d.ask(StopJob{1})).text == "job 1 stopped");
  CHECK_FALSE(d.last<RoundClosed>(d.client(1).key())->committed);
  CHECK_FALSE(d.blobs.has(blob_ref_of(bytes_of_floats(d.update_of(d.client(0).key(), 1))).id));
  CHECK(std::get<Done>(d.ask(StopJob{1})).text == "job 1 is stopped already");
  CHECK(std::get<Error>(d.ask(StopJob{7})).code == ErrorCode::kNotFound);
  d.deliver_update(d.client(1));
  CHECK(d.last<UpdateRefused>(d.client(1).key())->error.code == ErrorCode::kUnavailable);
  d.restart();
  CHECK(d.job(1).state == JobState::kStopped);
  CHECK(d.job(2).state == JobState::kStopped);
}

TEST_CASE("job: a client whose memory cannot hold the model is not asked") {
  Driver d(2);
  d.join(d.client(0));
  d.from(d.client(1), Join{kProtocolVersion, 1, Capability{"cpu", 1, 64, 1}});  // the model takes 3 x 32 bytes
  d.submit(job_text(kTwo));
  CHECK(d.count<RoundOffer>() == 0);
  CHECK(d.job().text == "waiting for clients: 1 of 2 there");
}

TEST_CASE("job: one that waits for clients names who is away, the first few") {
  Driver d(9);
  d.join_all();
  for (std::size_t n = 1; n < 9; ++n) d.from(d.client(n), Leave{});
  d.submit(job_text(kTwo));
  const std::string begins = "waiting for clients: 1 of 2 there; away: ", ends = " and 3 more", text = d.job().text;
  CHECK(text.starts_with(begins));
  CHECK(text.ends_with(ends));
  CHECK(std::count(text.begin() + static_cast<std::ptrdiff_t>(begins.size()), text.end(), ',') == 4);
  for (std::size_t n = 2; n < 9; ++n) d.join(d.client(n), 2, 2);
  CHECK(d.count<RoundOffer>() > 0);
}

TEST_CASE("job: an aggregation that fails abandons the attempt") {
  Driver d(2);
  d.join_all();
  d.submit(job_text(kTwo));
  d.deliver_update(d.client(0));
  d.hold_work = true;
  d.deliver_update(d.client(1));
  d.finish_work(StartWork(d.held_work.back()));
  const Ticket ticket = d.held_work.back().ticket;
  d.deliver(WorkFailed{ticket, Error{ErrorCode::kResourceExhausted, "the disk is full"}});
  CHECK(d.logged("attempt_abandoned") == 1);
  CHECK(d.count<RoundOffer>() == 2);
  d.advance(5s);
  CHECK(d.offer_to(d.client(0))->key == RoundKey{1, 1, 2});
}

}  // namespace covey
