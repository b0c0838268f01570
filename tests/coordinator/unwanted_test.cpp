// What is made and then not wanted any more: it is erased, but never what another holds or makes.
#include "tests/coordinator/driver.h"

namespace covey {
namespace {

const std::string kTwo = "[selection]\nmin_clients = 2\n";
const std::string kMoment = kTwo + "[server]\noptimizer = \"fedavgm\"\n";

std::set<Digest> blobs_of(Driver& d) {
  const auto list = d.blobs.list().value();
  return {list.begin(), list.end()};
}

// The round's last work: its aggregation, held.
StartWork aggregation(Driver& d) {
  d.hold_work = false;
  for (std::size_t n = 0; n + 1 < 3; ++n) d.deliver_update(d.client(n));
  d.hold_work = true;
  d.deliver_update(d.client(2));
  REQUIRE(d.held_work.size() == 1);
  d.finish_work(StartWork(d.held_work.front()));  // its check
  REQUIRE(d.held_work.size() == 2);
  StartWork sum = d.held_work.back();
  REQUIRE(std::holds_alternative<Aggregate>(sum.work));
  d.held_work.clear();
  return sum;
}

// A job of `clients` whose updates all have the same bits, up to its aggregation.
StartWork same_aggregation(Driver& d, JobId job, std::size_t clients) {
  d.hold_work = false;
  std::size_t left = 0;
  for (std::size_t n = 0; n < clients; ++n) left += d.offer_to(d.client(n)) && d.offer_to(d.client(n))->key.job == job ? 1 : 0;
  for (std::size_t n = 0; n < clients; ++n) {
    const auto offer = d.offer_to(d.client(n));
    if (!offer || offer->key.job != job) continue;
    UpdateReady ready = d.ready(d.client(n), *offer);
    ready.update = d.lay_out(d.client(n).key(), bytes_of_floats(std::vector<float>(8, 1.5F)));
    d.hold_work = --left == 0;
    d.from(d.client(n), ready);
  }
  REQUIRE(!d.held_work.empty());
  d.finish_work(StartWork(d.held_work.back()));
  StartWork sum = d.held_work.back();
  REQUIRE(std::holds_alternative<Aggregate>(sum.work));
  return sum;
}

}  // namespace

TEST_CASE("unwanted: the model of an abandoned attempt is erased when its work ends after all") {
  Driver d(3);
  d.join_all();
  d.submit(job_text(kMoment));
  const std::set<Digest> before = blobs_of(d);
  const StartWork sum = aggregation(d);
  d.ask(RevokeNode{"client-2"});
  REQUIRE(d.logged("attempt_abandoned") == 1);
  d.finish_work(sum);  // it was cancelled too late
  CHECK(blobs_of(d) == before);
  d.hold_work = false;
  d.deliver_update(d.client(0));
  d.deliver_update(d.client(1));
  CHECK(d.job().round == 1);
  CHECK(d.latest_model().size() == 8);
}

TEST_CASE("unwanted: a revocation between the sum and the commit leaves nothing either") {
  Driver d(3);
  d.join_all();
  d.submit(job_text(kMoment));
  const std::set<Digest> before = blobs_of(d);
  const StartWork sum = aggregation(d);
  const auto value = d.executor.compute(sum.work, d.blobs);
  REQUIRE(value);
  // The machine has asked for the manifest; the revocation is handled before it comes.
  d.events.push_back(WorkDone{sum.ticket, *value});
  d.events.push_back(Received{boss().link(), OperatorRequest{900, RevokeNode{"client-2"}}});
  d.settle();
  REQUIRE(d.logged("attempt_abandoned") == 1);
  CHECK(d.job().round == 0);
  CHECK(blobs_of(d) == before);
}

TEST_CASE("unwanted: a job that is stopped while its first model is made leaves none") {
  Driver d(2);
  d.join_all();
  const std::set<Digest> before = blobs_of(d);
  d.hold_work = true;
  d.submit(job_text(kTwo));
  REQUIRE(d.held_work.size() == 1);
  const StartWork init = d.held_work.front();
  d.ask(StopJob{1});
  d.finish_work(init);
  CHECK(blobs_of(d) == before);
  CHECK(d.logged("round_started") == 0);
}

TEST_CASE("unwanted: what another job holds, or is making, stays") {
  for (const bool made_first : {false, true})
    for (const bool fails : {false, true}) {
      CAPTURE(made_first);
      CAPTURE(fails);
      Driver d(4, 2);
      d.join_all();
      const std::string text = job_text(kTwo + "[quota]\nnodes_max = 2\n");
      d.submit(text, 1);
      d.submit(text, 2);
      const std::set<Digest> before = blobs_of(d);
      const StartWork one = same_aggregation(d, 1, 4);
      const StartWork two = same_aggregation(d, 2, 4);
      d.ask(StopJob{1});
      const auto end_two = [&] {
        if (fails)
          d.deliver(WorkFailed{two.ticket, Error{ErrorCode::kInternal, "a fault"}});
        else
          d.finish_work(two);
      };
      if (made_first) end_two();
      d.finish_work(one);
      if (!made_first && !fails) CHECK(blobs_of(d).size() > before.size());  // it may come to the same
      if (!made_first) end_two();
      if (fails) {
        CHECK(blobs_of(d) == before);
        continue;
      }
      CHECK(d.job(2).round == 1);
      CHECK(d.latest_model(2).size() == 8);
      CHECK(read_model(d.blobs, d.job(2).model.id).value().parameters != std::vector<float>(8, 0.0F));
    }
}

}  // namespace covey
