// Jobs under secure aggregation between real processes: the default, what each command says of them, and kill -9
// of either side in every phase.
#include <doctest/doctest.h>

#include <csignal>
#include <set>
#include <sstream>

#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;

namespace {

constexpr std::size_t kClients = 5;  // of whom one may be away when the sum is opened

constexpr const char* kSlower = "local_epochs = 10000\nbatch_size = 1\nlearning_rate = 0.01\n";  // long enough to be killed in

// The default: nothing is said of secure aggregation itself.
JobText secure_job(std::uint32_t rounds, const std::string& train = JobText{}.train) {
  JobText text;
  text.rounds = rounds;
  text.min_clients = 4;
  text.train = train;
  text.round = "deadline_s = 20\nquorum = 0.5\nattempts_max = 50\n";
  text.more = "[privacy]\ncorrupt_fraction = 0.1\n";
  return text;
}

void vouch(Federation& federation) {
  const Process& done = federation.covey({"vouch", "--all"});
  INFO(done.errors());
  REQUIRE(done.code() == 0);
}

std::vector<nlohmann::json> json_lines(const std::string& text) {
  std::vector<nlohmann::json> rows;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

void check_says(const Process& process, const std::vector<const char*>& words) {
  INFO(process.out() << process.errors());
  CHECK(process.code() == 0);
  for (const char* word : words) CHECK_MESSAGE(process.says(word), word);
}

// Every round is there once, with a sum of at least four; the records verify.
void check_whole(Federation& federation, JobId job, std::uint32_t rounds) {
  Desk desk(federation.home());
  const auto answer = desk.ask(ShowJob{job, 0});
  REQUIRE(answer.has_value());
  const auto& detail = std::get<JobDetail>(*answer);
  CHECK(detail.summary.state == JobState::kFinished);
  CHECK(detail.summary.round == rounds);
  REQUIRE(detail.metrics.size() == rounds + 1);
  std::uint32_t expected = 0;
  for (const RoundMetrics& round : detail.metrics) {
    CHECK(round.round == ++expected);
    CHECK(round.delivered >= 4);
    CHECK(round.delivered <= kClients);
    CHECK(round.examples > 0);
  }
  const auto rows = desk.ask(ShowClients{job, 1, 0});
  REQUIRE_FALSE(rows.has_value());
  CHECK(rows.error().code == ErrorCode::kUnsupported);
  check_says(federation.covey({"audit"}), {"outcome", "Verified"});
}

std::size_t phases(const Process& coordinator, const std::string& phase) {
  std::size_t count = 0;
  for (const LogLine& line : coordinator.lines())
    if (line.event == "secagg_phase" && line.text("phase") == phase) ++count;
  return count;
}

// Its job of two rounds with a long deadline: the first waits for vectors, and this client is still at its training.
JobId until_trains(Federation& federation, std::size_t client) {
  federation.start_all();
  vouch(federation);
  JobText text = secure_job(2, kSlower);
  text.round = "deadline_s = 600\nquorum = 0.5\n";
  const JobId job = federation.submit(text);
  REQUIRE(federation.until(
      [&] { return phases(federation.coordinator(), "masking") > 0 && federation.client(client).has("training_started"); }, 30));
  REQUIRE_FALSE(federation.client(client).has("training_done"));
  return job;
}

}  // namespace

TEST_CASE("secure: the default; list shows phase and members, and no command has a figure of one client") {
  Federation federation(kClients);
  // While it trains, a client that stands still keeps its round in the phase that waits for its vectors: until its
  // silence counts as a loss, which is longer than all of this.
  const JobId job = until_trains(federation, 4);
  federation.client(4).signal(SIGSTOP);
  const auto row = json_lines(federation.covey({"list", "--json"}).out()).at(0);
  CHECK(row.at("secure") == true);
  CHECK(row.at("phase") == "masking");
  CHECK(row.at("members") == 5);
  CHECK(row.at("maskers") == 5);
  CHECK(row.at("survivors") == 0);
  check_says(federation.covey({"list"}), {"secure aggregation, masking: 5 of 5 members mask"});
  federation.client(4).signal(SIGCONT);
  CHECK(federation.await_end(job, 120) == "job_finished");
  check_whole(federation, job, 2);

  check_says(federation.covey({"watch"}), {"2/2", "final"});
  for (const auto& line : json_lines(federation.covey({"watch", "--json"}).out()))
    if (line.at("event") == "round") CHECK(line.at("train_steps").is_null());
  check_says(federation.covey({"log"}), {"the authority vouches for", "the members agreed on 5 survivors of 5"});
  const std::string model = federation.folder() + "/model";
  check_says(federation.covey({"pull", "1", "-o", model}), {"none of a client", "only sums"});
  CHECK(json_lines(read_text(model + "/metrics.jsonl")).size() == 2 + 1);
  const std::string report = federation.folder() + "/report.html";
  check_says(federation.covey({"report", "1", "-o", report}), {});
  CHECK(read_text(report).find("nobody's own figures") != std::string::npos);
  CHECK(read_text(report).find("site3") == std::string::npos);
}

TEST_CASE("secure: kill -9 of the coordinator in each phase of the aggregation, and the job goes on to its end") {
  constexpr std::uint32_t kRounds = 14;
  Federation federation(kClients);
  federation.start_all();
  vouch(federation);
  const JobId job = federation.submit(secure_job(kRounds));
  std::set<std::string> killed;
  for (const char* phase : {"joining", "sharing", "confirming", "masking", "agreeing", "unmasking"}) {
    Process& coordinator = federation.coordinator();
    const std::size_t before = phases(coordinator, phase);
    const bool came = federation.until([&] { return phases(coordinator, phase) > before || coordinator.has("job_finished"); }, 60);
    INFO(coordinator.errors());
    REQUIRE(came);
    REQUIRE_FALSE(coordinator.has("job_finished"));
    federation.nursery().kill(coordinator);
    killed.insert(phase);
    federation.start_coordinator();
  }
  CHECK(killed.size() == 6);
  CHECK(federation.await_end(job, 120) == "job_finished");
  check_whole(federation, job, kRounds);
}

TEST_CASE("secure: kill -9 of a client at each step of its part, and the job goes on to its end") {
  constexpr std::uint32_t kRounds = 3;
  Federation federation(kClients);
  federation.start_all();
  vouch(federation);
  std::uint64_t seed = 0;
  for (const char* event : {"round_accepted", "training_done", "masking_started", "update_masked", "update_accepted"}) {
    JobText text = secure_job(kRounds);
    text.seed = ++seed;  // else its first sum would be a second one over the same model and data, which members refuse
    const JobId job = federation.submit(text);
    Process& client = federation.client(1);
    const auto there = [&] {
      const LogLine* line = client.last(event);
      return line != nullptr && line->number("job") == job;
    };
    INFO(event << ": " << client.errors());
    REQUIRE(federation.until(there, 60));
    federation.nursery().kill(client);
    federation.start_client(1);
    CHECK(federation.await_end(job, 60) == "job_finished");
    check_whole(federation, job, kRounds);
  }
}

TEST_CASE("secure: a client that lost its keys in mid-round is not waited for") {
  Federation federation(kClients);
  const JobId job = until_trains(federation, 1);
  federation.nursery().kill(federation.client(1));
  Process& again = federation.start_client(1);
  CHECK(federation.until([&] { return again.has("round_declined"); }, 30));
  REQUIRE(again.has("round_declined"));
  CHECK(again.last("round_declined")->text("text").find("restarted") != std::string::npos);
  CHECK(federation.await_end(job, 120) == "job_finished");  // far below the deadline
  check_whole(federation, job, 2);
}
