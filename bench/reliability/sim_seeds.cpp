#include <chrono>

#include "bench/reliability/rows.h"
#include "bench/reliability/tiny_worlds.h"

namespace covey::bench {
namespace {

constexpr std::uint64_t kSeeds = 10'000;
constexpr std::uint64_t kAgain = 500;
constexpr std::uint64_t kMixed = 2'000;

// Plain jobs and jobs under secure aggregation side by side, real cryptography in half of the worlds.
std::vector<Figure> mixed_seeds() {
  TinyWorlds worlds;
  worlds.request.kinds = Kinds::kMixed;
  worlds.request.seeds = kMixed;
  worlds.request.first = kSeeds + 1;
  const Campaign all = worlds.run();
  const std::string first = all.failures.empty() ? "" : "; seed " + std::to_string(all.failures.front().first) + ": " + all.failures.front().second;
  return {exactly("row 3: mixed worlds, seeds that broke a promise", static_cast<double>(all.failures.size() + kMixed - all.done), "seeds", 0,
                  "of " + std::to_string(kMixed) + ": " + std::to_string(all.jobs) + " jobs, " + std::to_string(all.secure_jobs) +
                      " of them under secure aggregation, both kinds in " + std::to_string(all.mixed) + " worlds, " + std::to_string(all.opened) +
                      " sums opened, " + std::to_string(all.stalemates.size()) + " stalemates proven by the members' records" + first)};
}

}  // namespace

// Row 3: every seed is a world of random faults of every kind (sim/fault_plan.h) under all checkers.
std::vector<Figure> sim_seeds() {
  TinyWorlds worlds;
  worlds.request.seeds = kSeeds;
  const auto begin = std::chrono::steady_clock::now();
  const Campaign all = worlds.run();
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const std::string first = all.failures.empty() ? "" : "; seed " + std::to_string(all.failures.front().first) + ": " + all.failures.front().second;

  worlds.request.seeds = kAgain;
  const Campaign many = worlds.run();
  worlds.request.threads = 1;
  const Campaign one = worlds.run();
  std::uint64_t equal = 0;
  for (std::uint64_t seed = 1; seed <= kAgain; ++seed) {
    const Scenario scenario = scenario_of_seed(worlds.request, seed, worlds.clients());
    const auto alone = replay(worlds.request, *worlds.populations, scenario);
    ReplayOptions helped;
    helped.threads = 3;
    const auto shared = replay(worlds.request, *worlds.populations, scenario, helped);
    equal += alone && shared && alone->trace == shared->trace && alone->parameters == shared->parameters ? 1 : 0;
  }
  const double worlds_a_second = static_cast<double>(all.done) / took;
  std::vector<Figure> figures{exactly("row 3: seeds that broke a promise", static_cast<double>(all.failures.size() + kSeeds - all.done), "seeds", 0,
                  std::to_string(all.updates) + " updates acknowledged, " + std::to_string(all.rounds) + " rounds committed" + first),
          at_most("row 3: 10,000 seeds take", took, "s", 300,
                  std::to_string(static_cast<int>(worlds_a_second)) + " worlds/s on " + std::to_string(std::thread::hardware_concurrency()) +
                      " threads, " + std::to_string(all.events / kSeeds) + " events each"),
          at_most("row 3: virtual time from the last fault to the end", all.calm_seconds, "s", 1800),
          exactly("row 3: same trace on other threads", static_cast<double>(equal + (many.trace == one.trace ? 0 : kAgain)), "seeds", kAgain,
                  "of " + std::to_string(kAgain) + " worlds run with 1 and 3 threads inside; campaigns on " +
                      std::to_string(std::thread::hardware_concurrency()) + " threads and 1 " + (many.trace == one.trace ? "equal" : "differ"))};
  for (Figure& figure : mixed_seeds()) figures.push_back(std::move(figure));
  return figures;
}

}  // namespace covey::bench
