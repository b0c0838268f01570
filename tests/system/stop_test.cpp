// Ends that somebody wants: of a job, of a daemon, of a node's membership.
#include <doctest/doctest.h>

#include <signal.h>

#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;

namespace {

bool committed(const Federation&, Process& coordinator, JobId job, std::uint64_t round) {
  const LogLine* line = coordinator.last("round_committed");
  return line != nullptr && line->number("job") == job && line->number("round") >= round;
}

void check_ends(Federation& federation, Process& process, int signal, int code, const char* event) {
  process.signal(signal);
  federation.nursery().finish(process, 10);
  INFO(process.name() << ": " << process.errors());
  CHECK(process.code() == code);
  CHECK(process.has(event));
}

}  // namespace

TEST_CASE("stop: a job stops in mid-run, its model stays, and the next job runs") {
  Federation federation(2);
  federation.start_all();
  const JobId job = federation.submit({.rounds = 10000, .min_clients = 2});
  REQUIRE(federation.until([&] { return committed(federation, federation.coordinator(), job, 3); }));
  const Process& stop = federation.covey({"stop"});
  INFO(stop.errors());
  CHECK(stop.code() == 0);
  CHECK(stop.says("job 1 stopped"));
  CHECK(federation.await_end(job) == "job_stopped");
  CHECK(federation.covey({"list"}).says("stopped by operator"));
  CHECK(federation.covey({"stop", "1"}).says("job 1 is stopped already"));
  CHECK(federation.covey({"watch", "1"}).code() == 1);  // it did not finish
  CHECK(federation.covey({"pull", "1", "-o", federation.folder() + "/model"}).code() == 0);
  const JobId next = federation.submit({.rounds = 2, .min_clients = 2});
  CHECK(federation.await_end(next) == "job_finished");
}

TEST_CASE("stop: Ctrl-C and SIGTERM end each daemon cleanly, and what ran goes on after the next start") {
  Federation federation(2);
  federation.start_all();
  const JobId job = federation.submit({.rounds = 20, .min_clients = 2});
  REQUIRE(federation.until([&] { return committed(federation, federation.coordinator(), job, 1); }));
  check_ends(federation, federation.client(0), SIGINT, 0, "client_left");
  const bool left = federation.until([&] { return federation.coordinator().has("node_left"); });
  INFO(federation.client(0).errors() << federation.coordinator().errors());
  CHECK(left);
  federation.start_client(0);
  check_ends(federation, federation.client(1), SIGTERM, 0, "client_left");
  federation.start_client(1);

  check_ends(federation, federation.coordinator(), SIGINT, 0, "coordinator_stopped");
  federation.start_coordinator();
  check_ends(federation, federation.coordinator(), SIGTERM, 0, "coordinator_stopped");
  federation.start_coordinator();
  CHECK(federation.await_end(job) == "job_finished");
}

TEST_CASE("stop: Ctrl-C of `covey run` leaves the job alone and says so") {
  Federation federation(2);
  federation.start_all();
  Process& run = federation.nursery().start(
      {"covey", {"run", federation.write_job({.rounds = 10000, .min_clients = 2}), "--home", federation.home()}});
  REQUIRE(federation.until([&] { return committed(federation, federation.coordinator(), 1, 2) && run.says("submitted"); }));
  run.signal(SIGINT);
  federation.nursery().finish(run, 10);
  CHECK(run.code() == 130);
  CHECK(run.says("Job 1 goes on"));
  CHECK(run.says("covey watch 1"));
  const LogLine* line = federation.coordinator().last("round_committed");
  REQUIRE(line != nullptr);
  const std::uint64_t round = line->number("round");
  CHECK(federation.until([&] { return committed(federation, federation.coordinator(), 1, round + 2); }));
}

TEST_CASE("stop: a revoked node is shut out in mid-run with a clear message, and the run goes on") {
  Federation federation(3);
  federation.start_all();
  const JobId job = federation.submit({.rounds = 10000, .min_clients = 2, .round = "deadline_s = 60\nquorum = 0.6\n"});
  REQUIRE(federation.until([&] { return committed(federation, federation.coordinator(), job, 2); }));
  const Process& revoke = federation.covey({"revoke", "site1"});
  INFO(revoke.errors());
  CHECK(revoke.code() == 0);
  CHECK(revoke.says("revoked"));
  Process& client = federation.client(1);
  federation.nursery().finish(client, 10);
  INFO(client.errors());
  CHECK(client.code() == 5);
  CHECK(client.says("revoked"));
  const std::uint64_t round = federation.coordinator().last("round_committed")->number("round");
  CHECK(federation.until([&] { return committed(federation, federation.coordinator(), job, round + 2); }));
  CHECK(federation.coordinator().last("round_committed")->number("delivered") == 2);
  CHECK(federation.covey({"nodes"}).says("revoked"));

  // Started again, it is told why nobody lets it in.
  Process& again = federation.nursery().start(federation.client_launch(1));
  CHECK(federation.until([&] { return again.says("this key is not known to the coordinator (revoked"); }));
  CHECK_FALSE(again.has("client_joined"));
}
