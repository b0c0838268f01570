#include "bench/reliability/rows.h"
#include "bench/reliability/tiny_worlds.h"

namespace covey::bench {
namespace {

constexpr std::uint64_t kSeeds = 1000;
constexpr int kJumps = 4;  // of every node

// The seed's faults, and every clock jumping up to a day forth and back; a process sees it as it starts.
FaultPlan jumping(FaultPlan plan, std::size_t nodes, Random random) {
  for (std::size_t node = 0; node < nodes; ++node)
    for (int jump = 0; jump < kJumps; ++jump)
      plan.clock_jumps.push_back({node, from_seconds(60 * random.uniform()), from_seconds(86400 * (2 * random.uniform() - 1))});
  return plan;
}

}  // namespace

// Row 20: had a deadline, a lease or a budget run by the wall clock, a message would go at another time.
std::vector<Figure> clock_jumps() {
  TinyWorlds worlds;
  std::uint64_t changed = 0, felt = 0, failed = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Scenario steady = scenario_of_seed(worlds.request, seed, worlds.clients());
    steady.faults.clock_jumps.clear();
    Scenario jumps = steady;
    jumps.faults = jumping(steady.faults, worlds.clients() + 1, Random(seed).split("jumps"));
    const auto without = replay(worlds.request, *worlds.populations, steady);
    const auto with = replay(worlds.request, *worlds.populations, jumps);
    if (!with || !without) {
      ++failed;
      continue;
    }
    changed += with->timeline != without->timeline || with->parameters != without->parameters ? 1 : 0;
    felt += with->trace != without->trace ? 1 : 0;
  }
  return {exactly("row 20: worlds in which a clock jump moved a message", static_cast<double>(changed + failed), "worlds", 0,
                  "of " + std::to_string(kSeeds) + ", each twice: without and with " + std::to_string(kJumps) +
                      " jumps of up to a day per node; in " + std::to_string(felt) + " a process started by another time")};
}

}  // namespace covey::bench
