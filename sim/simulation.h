// One simulated run of a job file: the world, its population, its operator, and what came of it.
#pragma once
#include <functional>
#include <optional>
#include <vector>

#include "core/base/log.h"
#include "sim/fault_plan.h"
#include "sim/population.h"

namespace covey {

struct SimulationRequest {
  JobSpec job;
  std::uint64_t seed = 1;
  FaultPlan faults;
  std::size_t threads = 1;
  Duration horizon = std::chrono::hours(24 * 365);  // of virtual time
  Log* log = nullptr;                               // what the machines log; may be null
  std::function<void(const RoundMetrics&)> on_round;
  std::function<bool()> interrupted;                // Ctrl-C
};

struct SimulationResult {
  JobDetail detail;
  std::vector<float> parameters;   // of the last committed model
  Digest trace;
  double virtual_seconds = 0;
  std::uint64_t events = 0;
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::size_t acknowledged = 0;    // updates, over all attempts
  bool interrupted = false;
};

// Errors: a machine that refuses the job or does not start; a broken promise (checker.h); a job that
// failed, or did not end within the horizon.
Result<SimulationResult> simulate(const SimulationRequest& request, const Population& population);

}  // namespace covey
