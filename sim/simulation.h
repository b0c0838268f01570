// One simulated run of a job file: the world, its population, its operator, and what came of it.
#pragma once
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "coordinator/work.h"
#include "core/base/log.h"
#include "core/protocol/machine.h"
#include "sim/fault_plan.h"
#include "sim/population.h"

namespace covey {

class Checker;

// The same job plain where it is under secure aggregation, and under it where it is plain. It need not be one that
// validates.
JobSpec other_kind(JobSpec job);

// Reads the model that a job starts from, as CoordinatorWorkConfig::start; without it a job with one fails.
using StartReader = std::function<Result<ParameterReader>(const JobSpec& job)>;

struct SimulationRequest {
  JobSpec job;
  StartReader start;
  std::uint64_t seed = 1;
  FaultPlan faults;
  std::size_t threads = 1;
  Duration horizon = std::chrono::hours(24 * 365);  // of virtual time
  Log* log = nullptr;                               // what the machines log; may be null
  std::function<void(const RoundMetrics&)> on_round;
  std::function<bool()> interrupted;                // Ctrl-C
  std::size_t story_lines = 0;                      // of what happened last, told to on_story
  std::function<void(const std::deque<std::string>&)> on_story;  // at the end, also of a run that failed
  // Changes what a client's work gives, before it is kept: attacks within the rules of the protocol. On any thread.
  std::function<Result<WorkValue>(std::uint32_t client, const Work& work, Result<WorkValue> honest, BlobStore& blobs)> spoil;
  std::function<void(const Checker&)> on_checked;   // at the end, also of a run that failed
  // Wraps a node's machine, at each start; for tests that prove what the checkers find.
  std::function<std::unique_ptr<Machine>(std::size_t node, std::unique_ptr<Machine>)> decorate;
};

struct SimulationResult {
  JobDetail detail;
  std::vector<float> parameters;   // of the last committed model
  Digest trace;
  Digest timeline;                 // which message went when, whatever it said
  double virtual_seconds = 0;
  std::uint64_t events = 0;
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::size_t acknowledged = 0;    // updates, over all attempts
  std::size_t jobs = 0;            // submitted
  std::size_t secure_jobs = 0;     // of those, under secure aggregation
  std::size_t partials_left = 0;   // values that the coordinator holds in part, at the end
  bool interrupted = false;
  // Under secure aggregation: what a job says that failed because too many members are bound to a sum that can end
  // neither way (stalemate.h). No promise is broken by that.
  std::optional<std::string> stalemate;
  std::size_t opened = 0;          // sums that were opened and held against the plain ones
};

// Errors: a fault plan that does not fit the population; a machine that refuses the job or does not
// start; a broken promise (checker.h); a job that failed, that was stopped unasked, or that did not end
// within the horizon.
Result<SimulationResult> simulate(const SimulationRequest& request, const Population& population);

}  // namespace covey
