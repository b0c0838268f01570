// A secure job whose processes are killed again and again for as long as it lasts: it ends with every round all the
// same. Calm never comes, as it does in the other plans: whatever a restart began anew could go on for ever.
#include "tests/sim/secure_job.h"

using namespace covey;

namespace {

constexpr std::size_t kClients = 6;
constexpr double kHours = 2;  // of kills; far more than the job takes

// One of the processes about every so many seconds, the coordinator half of the times; it is back within one. As
// `covey demo --chaos` does.
FaultPlan kills(double every, Random random) {
  FaultPlan plan;
  for (double at = 1; at < kHours * 3600; at += every * (0.5 + random.uniform())) {
    const std::size_t node = random.below(2) == 0 ? 0 : 1 + static_cast<std::size_t>(random.below(kClients));
    const double down = random.uniform();
    plan.crashes.push_back({node, from_seconds(at), from_seconds(down)});
    at += down;
  }
  return plan;
}

struct Killed {
  SimulationRequest request;
  std::unique_ptr<Population> population;
  Killed() {
    request.job = secure_job();
    request.job.selection.min_clients = kClients - 1;
    request.job.privacy.dropout = 0.3;  // as that demonstration has it: of six, four open a sum
    request.horizon = from_seconds(kHours * 3600);
    population = tiny_population(request.job, kClients, 1);
  }
  Result<SimulationResult> run(std::uint64_t seed, double every) {
    request.seed = seed;
    request.faults = kills(every, Random(seed));
    return simulate(request, *population);
  }
};

}  // namespace

TEST_CASE("secure kills: with a coordinator killed every few seconds, and clients too, a job has all its rounds") {
  for (const int deadline_s : {20, 600}) {
    Killed killed;
    killed.request.job.round.deadline = std::chrono::seconds(deadline_s);
    double longest = 0;
    std::size_t opened = 0, stalemates = 0;
    for (const double every : {4.0, 8.0, 20.0})
      for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        CAPTURE(deadline_s);
        CAPTURE(every);
        CAPTURE(seed);
        const auto result = killed.run(seed, every);
        REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
        longest = std::max(longest, result->virtual_seconds);
        opened += result->opened;
        if (result->stalemate) {  // the protocol forbids few ends: docs/secure_aggregation.md
          ++stalemates;
          continue;
        }
        CHECK(result->detail.summary.state == JobState::kFinished);
        CHECK(result->detail.summary.round == killed.request.job.rounds);
      }
    MESSAGE("deadline " << deadline_s << " s: the longest took " << longest << " s; " << opened << " sums were opened");
    CHECK(longest < 1800);
    CHECK(stalemates <= 1);
  }
}
