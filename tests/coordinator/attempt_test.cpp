// Jobs with durability = "attempt": updates are summed as they come, and none is kept.
#include "tests/coordinator/driver.h"

namespace covey {
namespace {

const std::string kThree = "[selection]\nmin_clients = 3\n[round]\nquorum = 0.6\n";

std::string attempt_job(const std::string& more = kThree) { return "durability = \"attempt\"\n" + job_text(more); }

void begin(Driver& d, const std::string& more = kThree) {
  d.join_all();
  REQUIRE(std::holds_alternative<Submitted>(d.submit(attempt_job(more))));
}

std::size_t held_blobs(Driver& d) { return d.blobs.list().value().size(); }

}  // namespace

TEST_CASE("attempt: the model is the same bits as with updates that are kept") {
  Driver kept(3), summed(3);
  kept.join_all();
  kept.submit(job_text(kThree));
  begin(summed);
  for (std::size_t round = 0; round < 2; ++round)
    for (const std::size_t n : {2U, 0U, 1U}) {
      kept.deliver_update(kept.client(n));
      summed.deliver_update(summed.client(2 - n));
    }
  CHECK(kept.job().round == 2);
  CHECK(summed.job().round == 2);
  CHECK(summed.latest_model() == kept.latest_model());
}

TEST_CASE("attempt: an accepted update leaves neither row nor blob, and its sum ends with its round") {
  Driver d(3);
  begin(d);
  const std::size_t before = held_blobs(d);
  d.deliver_update(d.client(0));
  CHECK(d.last<UpdateAccepted>(d.client(0).key()));
  CHECK(d.store.scan("update/").value().empty());
  CHECK(held_blobs(d) == before);
  CHECK(d.executor.sums_bytes() == 8 * sizeof(std::int64_t));  // 3 inputs, 2 classes, with bias
  d.deliver_update(d.client(1));
  d.deliver_update(d.client(2));
  CHECK(d.job().round == 1);
  CHECK(d.executor.sums_bytes() == 0);
}

TEST_CASE("attempt: a restart abandons the attempt, and the next one counts everyone once") {
  Driver d(3);
  begin(d);
  d.deliver_update(d.client(0));
  d.deliver_update(d.client(1));
  d.restart();
  CHECK(d.logged("attempt_abandoned") == 1);
  CHECK(d.job().delivered == 0);
  d.sent.clear();
  d.join_all();
  REQUIRE(d.offer_to(d.client(0)));
  CHECK(d.offer_to(d.client(0))->key == RoundKey{1, 1, 2});
  for (std::size_t n = 0; n < 3; ++n) d.deliver_update(d.client(n));
  CHECK(d.job().round == 1);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics[0].delivered == 3);
}

TEST_CASE("attempt: at the deadline a sum waits for the update that is being added") {
  Driver d(3);
  begin(d);
  d.deliver_update(d.client(0));
  d.deliver_update(d.client(1));
  d.hold_work = true;
  d.deliver_update(d.client(2));
  REQUIRE(d.held_work.size() == 1);
  const StartWork adding = d.held_work.back();
  d.advance(600s);
  CHECK(d.job().round == 0);
  CHECK(d.held_work.size() == 1);  // neither cancelled nor overtaken by the aggregation
  d.hold_work = false;
  d.held_work.clear();
  d.finish_work(adding);
  CHECK(d.job().round == 1);
  CHECK(std::get<JobDetail>(d.ask(ShowJob{1, 0})).metrics[0].delivered == 3);
}

TEST_CASE("attempt: a bad update is refused and does not reach the sum") {
  Driver d(3), clean(3);
  begin(d);
  begin(clean);
  for (std::size_t n = 0; n < 2; ++n) clean.deliver_update(clean.client(n));
  clean.advance(600s);
  d.deliver_update(d.client(0));
  UpdateReady bad = d.ready(d.client(2), *d.offer_to(d.client(2)));
  const Bytes bytes = bytes_of_floats(std::vector<float>(8, 65.0F));
  bad.update = blob_ref_of(bytes);
  d.served[d.client(2).key()][bad.update->id] = bytes;
  d.from(d.client(2), bad);
  const auto refused = d.last<UpdateRefused>(d.client(2).key());
  REQUIRE(refused);
  CHECK(refused->error.message.find("element 0 is 65; update.value_max") != std::string::npos);
  d.deliver_update(d.client(1));
  CHECK(d.job().round == 1);
  CHECK(clean.job().round == 1);
  CHECK(d.latest_model() == clean.latest_model());
}

TEST_CASE("attempt: revoking a client whose update is in the sum begins the attempt anew without it") {
  Driver d(3);
  begin(d, "[selection]\nmin_clients = 2\n");
  d.deliver_update(d.client(0));
  d.from(boss(), OperatorRequest{99, RevokeNode{"client-0"}});
  CHECK(d.logged("attempt_abandoned") == 1);
  CHECK(d.executor.sums_bytes() == 0);
  CHECK(d.offer_to(d.client(1))->key == RoundKey{1, 1, 2});
  d.deliver_update(d.client(1));
  d.deliver_update(d.client(2));
  CHECK(d.job().round == 1);
}

TEST_CASE("attempt: a job whose sum never fits is refused with the figures, one that does not fit now waits") {
  Driver d(0, 3);
  const auto text = [](std::uint32_t inputs) {
    return "durability = \"attempt\"\nname = \"wide\"\n[model]\nfamily = \"logistic\"\ninputs = " + std::to_string(inputs) +
           "\n[data]\nformat = \"idx\"\n[privacy]\nsecure_aggregation = false\n";
  };
  d.config().memory_bytes_max = 10 << 20;
  d.restart();
  const auto refused = d.submit(text(1'000'000), 1);
  REQUIRE(std::holds_alternative<Error>(refused));
  CHECK(std::get<Error>(refused).message.find("takes 16 MiB of the coordinator's memory, its --memory allows 10") != std::string::npos);
  REQUIRE(std::holds_alternative<Submitted>(d.submit(text(400'000), 2)));  // 6.1 MiB
  REQUIRE(std::holds_alternative<Submitted>(d.submit(text(400'000), 3)));
  REQUIRE(std::holds_alternative<Submitted>(d.submit(text(10), 4)));
  CHECK(d.job(1).state == JobState::kRunning);
  CHECK(d.job(2).state == JobState::kPending);
  CHECK(d.job(2).text.find("waiting for memory: its sum takes 6 MiB, running jobs hold 6 of 10") == 0);
  CHECK(d.job(3).state == JobState::kPending);  // a small job does not overtake for ever
  d.ask(StopJob{1});
  CHECK(d.job(2).state == JobState::kRunning);
  CHECK(d.job(3).state == JobState::kRunning);
  d.config().memory_bytes_max = 4 << 20;
  d.restart();
  CHECK(d.job(2).state == JobState::kFailed);
  CHECK(d.job(2).text.find("--memory allows 4") != std::string::npos);
}

}  // namespace covey
