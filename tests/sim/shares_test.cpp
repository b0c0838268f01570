// Two jobs at once in a simulated world: quotas hold, nodes are shared, and both end.
#include <map>
#include <set>

#include "tests/sim/tiny_job.h"

using namespace covey;

namespace {

// What a coordinator offered and committed.
struct Seen {
  std::map<RoundKey, std::set<PeerKey>> cohorts;
  std::vector<std::uint64_t> commits;  // jobs, in order
};

class Witness final : public Machine {
 public:
  Witness(std::unique_ptr<Machine> machine, Seen& seen) : machine_(std::move(machine)), seen_(seen) {}
  Commands handle(const Event& event, Instant now) override {
    Commands commands = machine_->handle(event, now);
    for (const Command& command : commands) {
      const auto* send = std::get_if<Send>(&command);
      const auto* offer = send == nullptr ? nullptr : std::get_if<RoundOffer>(&send->message);
      if (offer != nullptr) seen_.cohorts[offer->key].insert(send->to.peer);
      const auto* log = std::get_if<WriteLog>(&command);
      if (log != nullptr && log->entry.event == "round_committed")
        seen_.commits.push_back(static_cast<std::uint64_t>(std::get<std::int64_t>(log->entry.fields.at(0).value)));
    }
    return commands;
  }

 private:
  std::unique_ptr<Machine> machine_;
  Seen& seen_;
};

// The most that one of two jobs was ahead of the other while both ran.
std::size_t most_apart(const std::vector<std::uint64_t>& commits) {
  std::size_t one = 0, two = 0, apart = 0;
  for (const std::uint64_t job : commits) {
    ++(job == 1 ? one : two);
    apart = std::max(apart, one > two ? one - two : two - one);
  }
  return apart;
}

Seen run_two(const JobSpec& job, std::uint64_t seed, bool trouble) {
  const auto population = tiny_population(job, 10, 7);
  Seen seen;
  SimulationRequest request;
  request.job = job;
  request.seed = seed;
  if (trouble) request.faults = random_faults(10, 60s, Random(seed));
  request.faults.acts = {{Act::kSubmit, {}, 0}};
  request.decorate = [&](std::size_t node, std::unique_ptr<Machine> machine) -> std::unique_ptr<Machine> {
    return node == 0 ? std::make_unique<Witness>(std::move(machine), seen) : std::move(machine);
  };
  const auto result = simulate(request, *population);
  REQUIRE_MESSAGE(result.has_value(), (result ? std::string() : result.error().message));
  CHECK(result->jobs == 2);
  return seen;
}

}  // namespace

TEST_CASE("shares: two jobs that each need every client take turns, round by round") {
  JobSpec job = tiny_job();
  job.selection.min_clients = 10;
  job.rounds = 6;
  const Seen seen = run_two(job, 7, false);
  CHECK(seen.commits.size() == 14);  // with the evaluations
  CHECK(most_apart(seen.commits) <= 2);
  for (const auto& [key, cohort] : seen.cohorts)
    if (key.round <= 6) CHECK(cohort.size() == 10);
}

TEST_CASE("shares: two jobs under a quota work side by side, and no round is larger than it") {
  for (const std::uint64_t seed : {1, 2, 3, 4}) {
    CAPTURE(seed);
    JobSpec job = tiny_job();
    job.selection.min_clients = 3;
    job.quota = {4, 3 * update_bytes_of(job)};
    REQUIRE(job.validate());
    const Seen seen = run_two(job, seed, seed > 1);
    std::set<JobId> jobs;
    for (const auto& [key, cohort] : seen.cohorts) {
      CHECK(cohort.size() <= 4);
      jobs.insert(key.job);
    }
    CHECK(jobs.size() == 2);
  }
}

namespace {

// What a coordinator has of updates: on their way, or kept in part.
class Intake final : public Machine {
 public:
  struct Seen {
    std::set<Digest> here;
    std::size_t most = 0, kept = 0;
  };
  Intake(std::unique_ptr<Machine> machine, Seen& seen) : machine_(std::move(machine)), seen_(seen) {}
  Commands handle(const Event& event, Instant now) override {
    Commands commands = machine_->handle(event, now);
    for (const Command& command : commands) {
      if (const auto* fetch = std::get_if<FetchBlob>(&command); fetch != nullptr && fetch->keep == Keep::kUnfinished)
        seen_.here.insert(fetch->blob.id);
      if (const auto* cancel = std::get_if<CancelFetch>(&command); cancel != nullptr && cancel->unfinished == Unfinished::kKeep)
        ++seen_.kept;
      if (const auto* erase = std::get_if<EraseBlob>(&command)) seen_.here.erase(erase->blob);
    }
    seen_.most = std::max(seen_.most, seen_.here.size());
    return commands;
  }

 private:
  std::unique_ptr<Machine> machine_;
  Seen& seen_;
};

}  // namespace

// Those that serve nothing, or late, take all the room there is, for a turn each; what is kept of them gives way.
TEST_CASE("quota: clients that never serve their updates take no more room than the quota, and hold nobody up") {
  std::size_t kept = 0;
  for (const std::uint64_t seed : {1, 2, 3}) {
    CAPTURE(seed);
    JobSpec job = tiny_job();
    job.durability = Durability::kAttempt;
    job.selection.over_selection = 1;
    job.round.deadline = 240s;  // a turn: 30 s
    job.quota.update_bytes_max = 2 * update_bytes_of(job);
    REQUIRE(job.validate());
    const auto population = tiny_population(job, 10, 7);
    Intake::Seen seen;
    SimulationRequest request;
    request.job = job;
    request.seed = seed;
    for (const std::size_t node : {1, 2, 3}) request.faults.liars.push_back({node, Lie::kNeverServes});
    for (const std::size_t node : {4, 5, 6}) request.faults.late_frames.push_back({node, 0s, 20min, 35s, 0.3});
    request.decorate = [&](std::size_t node, std::unique_ptr<Machine> machine) -> std::unique_ptr<Machine> {
      return node == 0 ? std::make_unique<Intake>(std::move(machine), seen) : std::move(machine);
    };
    const auto result = simulate(request, *population);
    REQUIRE_MESSAGE(result.has_value(), (result ? std::string() : result.error().message));
    CHECK(result->detail.summary.state == JobState::kFinished);
    CHECK(seen.most == 2);
    kept += seen.kept;
  }
  CHECK(kept > 0);
}
