#include "tests/sim/tiny_job.h"

using namespace covey;

namespace {

// Every clock jumps by a day, forth and back, and every crash starts a process with what it then shows.
FaultPlan with_jumps(FaultPlan plan, Random random) {
  plan.clock_jumps.clear();
  for (std::size_t node = 0; node <= 10; ++node)
    for (int jump = 0; jump < 4; ++jump)
      plan.clock_jumps.push_back({node, from_seconds(40 * random.uniform()), from_seconds((random.below(2) == 0 ? 1 : -1) * 86400.0 * random.uniform())});
  return plan;
}

}  // namespace

// Deadlines, leases, time-outs and budgets run by elapsed time: which message goes when does not depend
// on what any clock on the wall says.
TEST_CASE("clock jumps: days forth and back change nothing of what is sent, nor when") {
  TinyCampaign tiny;
  std::size_t different = 0;  // where a process started after a jump: what it wrote bears another time
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Scenario steady = scenario_of_seed(tiny.request, seed, 10);
    steady.faults.clock_jumps.clear();
    Scenario jumping = steady;
    jumping.faults = with_jumps(steady.faults, Random(seed));
    const auto without = replay(tiny.request, *tiny.populations, steady);
    const auto with = replay(tiny.request, *tiny.populations, jumping);
    INFO("seed " << seed);
    REQUIRE_MESSAGE(without.has_value(), (without ? std::string() : without.error().message));
    REQUIRE_MESSAGE(with.has_value(), (with ? std::string() : with.error().message));
    CHECK(with->timeline == without->timeline);
    CHECK(with->parameters == without->parameters);
    different += with->trace != without->trace ? 1 : 0;
  }
  CHECK(different > 30);
}
