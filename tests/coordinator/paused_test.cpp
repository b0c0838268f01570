// A coordinator whose jobs are paused: an operator stops what cannot go on, and nothing else happens to it.
#include "tests/coordinator/driver.h"

namespace covey {
namespace {

const std::string kJob = job_text("[selection]\nmin_clients = 2\n");

// A job with one of two updates accepted, and the coordinator started again with its jobs paused.
struct Paused {
  Driver d{2};
  RoundOffer offer;

  Paused() {
    d.join_all();
    REQUIRE(std::holds_alternative<Submitted>(d.submit(kJob)));
    offer = d.offer_to(d.client(0)).value();
    d.from(d.client(0), RoundAccept{offer.key});
    d.deliver_update(d.client(0));
    REQUIRE(d.count<UpdateAccepted>() == 1);
    d.crash();
    d.sent.clear();
    d.config().jobs_paused = true;
    d.start();
    d.join_all();
  }
};

}  // namespace

TEST_CASE("paused: no job offers, trains or sums, and what the rows hold stays") {
  Paused p;
  p.d.advance(10min);
  p.d.from(p.d.client(1), p.d.ready(p.d.client(1), p.offer));
  CHECK(p.d.count<RoundOffer>() == 0);
  CHECK(p.d.count<UpdateAccepted>() == 0);
  CHECK(p.d.job().state == JobState::kRunning);
  CHECK(p.d.job().text.find("--paused") != std::string::npos);
  CHECK(p.d.logged("jobs_paused") == 1);
  p.d.crash();
  p.d.sent.clear();
  p.d.config().jobs_paused = false;  // and then it goes on where it was
  p.d.start();
  p.d.join_all();
  CHECK_FALSE(p.d.offer_to(p.d.client(0)));  // its update counts already
  REQUIRE(p.d.offer_to(p.d.client(1)));
  CHECK(p.d.offer_to(p.d.client(1))->key == p.offer.key);
  p.d.deliver_update(p.d.client(1));
  CHECK(p.d.job().round == 1);
}

TEST_CASE("paused: a job that is stopped lets go of its updates, and a submitted one waits") {
  Paused p;
  const std::size_t before = p.d.blobs.list()->size();
  CHECK(std::holds_alternative<Done>(p.d.ask(StopJob{1})));
  CHECK(p.d.job().state == JobState::kStopped);
  CHECK(p.d.blobs.list()->size() < before);
  const auto left = p.d.store.scan("update/");
  REQUIRE(left.has_value());
  for (const Row& row : *left) FAIL("left: " << row.key);
  REQUIRE(std::holds_alternative<Submitted>(p.d.submit(kJob, 2)));
  p.d.advance(1min);
  CHECK(p.d.job(2).state == JobState::kPending);
  CHECK(p.d.job(2).text.find("--paused") != std::string::npos);
  p.d.crash();
  p.d.config().jobs_paused = false;
  p.d.start();
  p.d.join_all();
  CHECK(p.d.job(1).state == JobState::kStopped);
  CHECK(p.d.job(2).state == JobState::kRunning);
}

}  // namespace covey
