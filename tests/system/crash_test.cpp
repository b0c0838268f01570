// kill -9 at many moments: nothing is lost, nothing counts twice, and the model that comes out has
// the same bits as that of a run which nobody disturbed.
#include <doctest/doctest.h>

#include <signal.h>

#include <cstdlib>
#include <future>
#include <map>
#include <set>

#include "core/protocol/limits.h"
#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;

namespace {

constexpr std::size_t kClients = 3;

// What a run left behind, as far as two runs of one job must agree.
struct Outcome {
  JobSummary summary;
  std::vector<RoundMetrics> rounds;
  std::map<std::uint32_t, std::vector<ClientMetrics>> clients;
};

// Threads report what they find; doctest's checks are made by the test's own.
using Faults = std::vector<std::string>;

template <class Answer>
std::optional<Answer> asked(Desk& desk, OperatorVerb verb, Faults& faults) {
  auto answer = desk.ask(std::move(verb));
  if (!answer) {
    faults.push_back("the operator was answered: " + answer.error().message);
    return std::nullopt;
  }
  return std::get<Answer>(*answer);
}

Outcome outcome_of(const Federation& federation, JobId job, Faults& faults) {
  Desk desk(federation.home());
  Outcome outcome;
  std::size_t page = 0;
  do {  // at most kPageRowsMax rounds come at once
    const auto detail = asked<JobDetail>(desk, ShowJob{job, outcome.rounds.empty() ? 0 : outcome.rounds.back().round}, faults);
    if (!detail) return outcome;
    outcome.summary = detail->summary;
    page = detail->metrics.size();
    outcome.rounds.insert(outcome.rounds.end(), detail->metrics.begin(), detail->metrics.end());
  } while (page == kPageRowsMax);
  for (const RoundMetrics& round : outcome.rounds)
    if (auto rows = asked<ClientRows>(desk, ShowClients{job, round.round, 0}, faults)) outcome.clients[round.round] = rows->rows;
  return outcome;
}

void expect(bool holds, const std::string& what, Faults& faults) {
  if (!holds) faults.push_back(what);
}

// Every round is there once, made of every client once, at its first attempt.
void check_whole(const Outcome& outcome, std::uint32_t rounds, Faults& faults) {
  expect(outcome.summary.state == JobState::kFinished, "the job is not finished", faults);
  expect(outcome.summary.round == rounds, "it has " + std::to_string(outcome.summary.round) + " rounds", faults);
  expect(outcome.rounds.size() == rounds + 1, std::to_string(outcome.rounds.size()) + " rows of figures", faults);
  std::uint32_t expected = 0;
  for (const RoundMetrics& round : outcome.rounds) {
    const std::string where = "round " + std::to_string(round.round) + ": ";
    expect(round.round == ++expected, where + "out of order", faults);
    expect(round.attempt == 1, where + "attempt " + std::to_string(round.attempt), faults);
    expect(round.delivered == kClients, where + std::to_string(round.delivered) + " delivered", faults);
    const auto at = outcome.clients.find(round.round);
    if (at == outcome.clients.end()) continue;  // told already
    std::set<std::string> names;
    std::uint64_t examples = 0;
    for (const ClientMetrics& client : at->second) {
      names.insert(client.client);
      examples += client.examples;
    }
    expect(at->second.size() == kClients, where + std::to_string(at->second.size()) + " clients' rows", faults);
    expect(names.size() == at->second.size(), where + "a client has two rows", faults);
    expect(examples == round.examples, where + "the examples do not add up", faults);
  }
}

// The same numbers, whoever was killed.
void check_same(const Outcome& outcome, const Outcome& undisturbed, Faults& faults) {
  expect(outcome.summary.model == undisturbed.summary.model, "the final model differs from the undisturbed one", faults);
  expect(outcome.rounds.size() == undisturbed.rounds.size(), "another number of rounds", faults);
  for (std::size_t i = 0; i < std::min(outcome.rounds.size(), undisturbed.rounds.size()); ++i) {
    const RoundMetrics& ours = outcome.rounds[i];
    const RoundMetrics& theirs = undisturbed.rounds[i];
    expect(ours.examples == theirs.examples && ours.update_norm == theirs.update_norm && ours.evaluation == theirs.evaluation &&
               ours.update_bytes == theirs.update_bytes && ours.train.steps == theirs.train.steps,
           "round " + std::to_string(ours.round) + " has other figures than undisturbed", faults);
  }
}

// A logged acceptance is durable, so no later life may log it again.
void note_acceptances(const Process& coordinator, JobId job, std::set<std::string>& seen, Faults& faults) {
  for (const LogLine& line : coordinator.lines()) {
    if (line.event != "update_accepted" || line.number("job") != job) continue;
    const std::string what = "round " + std::to_string(line.number("round")) + " of " + line.text("node");
    expect(seen.insert(what).second, what + " was accepted twice", faults);
  }
}

// Lets the coordinator write `events` more lines, and kills it there. False: the job ended before.
bool kill_after(Federation& federation, std::size_t events, JobId job, Faults& faults) {
  Process& coordinator = federation.coordinator();
  const std::size_t target = events;
  const auto over = [&] {
    const LogLine* end = coordinator.last("job_finished");
    return coordinator.ended() || (end != nullptr && end->number("job") == job);
  };
  const bool reached = federation.until([&] { return coordinator.lines().size() >= target || over(); }, 30);
  expect(reached, "30 s passed before log line " + std::to_string(events) + " came: " + coordinator.errors(), faults);
  if (!reached || over()) return false;
  federation.nursery().kill(coordinator);
  return true;
}

struct KilledRun {
  std::vector<std::size_t> reached;  // the kill points
  Faults faults;
};

// One federation: a run in peace, then the same job with the coordinator killed at its k-th log line
// (of each life) for each k of `points`.
KilledRun run_and_kill(const std::vector<std::size_t>& points, std::uint32_t rounds) {
  KilledRun run;
  Federation federation(kClients);
  federation.start_all();
  const JobText text{.rounds = rounds};
  const JobId first = federation.submit(text);
  expect(federation.await_end(first) == "job_finished", "the undisturbed run did not finish", run.faults);
  const Outcome undisturbed = outcome_of(federation, first, run.faults);
  check_whole(undisturbed, rounds, run.faults);

  federation.nursery().kill(federation.coordinator());  // a fresh life, so that lines count from its start
  federation.start_coordinator();
  const JobId job = federation.submit(text);
  std::set<std::string> accepted;
  for (const std::size_t point : points) {
    if (!kill_after(federation, point, job, run.faults)) break;
    run.reached.push_back(point);
    note_acceptances(federation.coordinator(), job, accepted, run.faults);
    federation.start_coordinator();
  }
  const std::string end = federation.await_end(job);
  note_acceptances(federation.coordinator(), job, accepted, run.faults);
  expect(end == "job_finished", "the disturbed run ended with '" + end + "': " + federation.coordinator().errors(), run.faults);
  const Outcome outcome = outcome_of(federation, job, run.faults);
  check_whole(outcome, rounds, run.faults);
  check_same(outcome, undisturbed, run.faults);
  return run;
}

// A client killed at each step of a round, which rejoins as itself.
Faults kill_client() {
  constexpr std::uint32_t kRounds = 12;
  Faults faults;
  Federation federation(kClients);
  federation.start_all();
  const JobId first = federation.submit({.rounds = kRounds});
  expect(federation.await_end(first) == "job_finished", "the undisturbed run did not finish", faults);
  const Outcome undisturbed = outcome_of(federation, first, faults);

  const JobId job = federation.submit({.rounds = kRounds});
  std::uint64_t round = 0;
  for (const char* event : {"round_offered", "round_accepted", "training_started", "training_done"}) {
    Process& client = federation.client(1);
    const auto there = [&] {
      const LogLine* line = client.last(event);
      return line != nullptr && line->number("job") == job && line->number("round") > round;
    };
    if (!federation.until(there, 20)) {
      faults.push_back(std::string("no ") + event + " came: " + client.errors());
      return faults;
    }
    round = client.last(event)->number("round");
    federation.nursery().kill(client);
    federation.start_client(1);
  }
  expect(federation.await_end(job) == "job_finished", "the disturbed run did not finish", faults);
  const Outcome outcome = outcome_of(federation, job, faults);
  check_whole(outcome, kRounds, faults);
  check_same(outcome, undisturbed, faults);
  Desk desk(federation.home());
  const auto nodes = asked<NodeRows>(desk, ListNodes{0}, faults);
  expect(nodes && nodes->rows.size() == kClients + 1, "there are not just the clients and the operator", faults);
  return faults;
}

struct Killing {
  std::size_t federations = 1;  // at the same time: they mostly wait for heartbeats
  std::size_t kills = 1;        // in each
  std::uint32_t rounds = 1;     // enough for all kills
};

void run_and_kill_in_parallel(const Killing& killing) {
  std::vector<std::future<KilledRun>> running;
  for (std::size_t f = 0; f < killing.federations; ++f) {
    std::vector<std::size_t> points;
    for (std::size_t i = 0; i < killing.kills; ++i) points.push_back(3 + f + killing.federations * i);
    running.push_back(std::async(std::launch::async, run_and_kill, points, killing.rounds));
  }
  std::set<std::size_t> reached;
  for (auto& each : running) {
    const KilledRun run = each.get();
    for (const std::string& fault : run.faults) FAIL_CHECK(fault);
    reached.insert(run.reached.begin(), run.reached.end());
  }
  CHECK(reached.size() == killing.federations * killing.kills);
}

}  // namespace

TEST_CASE("crash: the coordinator is killed at 28 moments, a client at each step; every update counts once") {
  auto client = std::async(std::launch::async, kill_client);  // meanwhile: it mostly waits
  // Lives last until their k-th line: soon after the start, amid joins, offers, acceptances, commits.
  run_and_kill_in_parallel({.federations = 7, .kills = 4, .rounds = 14});
  for (const std::string& fault : client.get()) FAIL_CHECK(fault);
}

// Minutes: `./check slow`.
TEST_CASE("slow: the coordinator is killed at 80 moments" * doctest::skip(std::getenv("COVEY_SLOW") == nullptr)) {
  run_and_kill_in_parallel({.federations = 8, .kills = 10, .rounds = 90});
}
