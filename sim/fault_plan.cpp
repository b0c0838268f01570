#include "sim/fault_plan.h"

namespace covey {
namespace {

Duration between(Random& random, Duration low, Duration high) {
  return low + from_seconds(random.uniform() * seconds(high - low));
}

}  // namespace

FaultPlan random_faults(std::size_t clients, Duration horizon, Random random) {
  FaultPlan plan;
  plan.quiet_after = horizon;
  plan.network.loss = random.uniform() * 0.15;
  plan.network.duplicate = random.uniform() * 0.15;
  plan.network.jitter = between(random, 0ms, 400ms);
  const std::uint64_t crashes = random.below(5);
  for (std::uint64_t i = 0; i < crashes; ++i) {
    // The coordinator is one of many nodes but the one whose crash says most.
    const std::size_t node = random.below(2) == 0 ? 0 : 1 + static_cast<std::size_t>(random.below(clients));
    plan.crashes.push_back({node, between(random, 0s, horizon), between(random, 10ms, 15s)});
  }
  const std::uint64_t write_crashes = random.below(6);
  for (std::uint64_t i = 0; i < write_crashes; ++i) {
    const std::size_t node = random.below(4) != 0 ? 0 : 1 + static_cast<std::size_t>(random.below(clients));
    const std::uint64_t within = node == 0 ? 20 + 8 * clients : 8;  // about as many as it writes in a small job
    plan.write_crashes.push_back({node, 1 + random.below(within), between(random, 10ms, 15s)});
  }
  const std::uint64_t partitions = random.below(3);
  for (std::uint64_t i = 0; i < partitions; ++i) {
    Partition partition;
    partition.from = between(random, 0s, horizon);
    partition.to = partition.from + between(random, 100ms, 40s);
    for (std::size_t node = 1; node <= clients; ++node)
      if (random.below(3) == 0) partition.cut.push_back(node);
    plan.partitions.push_back(std::move(partition));
  }
  return plan;
}

}  // namespace covey
