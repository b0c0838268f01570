// Many seeds of random faults, one world a thread, and what each broke.
#pragma once
#include <map>
#include <mutex>

#include "sim/plan_file.h"
#include "sim/shrink.h"
#include "sim/simulation.h"

namespace covey {

// Populations of one data set, of any number of clients, each made once. Thread-safe.
class Populations {
 public:
  explicit Populations(PopulationRequest request, const Population& first) : request_(std::move(request)), data_(first.shared_data()) {}
  // Errors: those of Population::create.
  Result<const Population*> of(std::uint32_t clients);

 private:
  PopulationRequest request_;
  std::shared_ptr<const Dataset> data_;  // shared: by every population
  std::mutex mutex_;
  std::map<std::uint32_t, std::unique_ptr<Population>> made_;
};

// Which jobs the worlds of a campaign hold.
enum class Kinds : std::uint8_t {
  kAsTheJob,   // plain ones, or under secure aggregation, as the job says
  kMixed,      // in half of the worlds both kinds at once
};

struct CampaignRequest {
  JobSpec job;
  StartReader start;                 // see SimulationRequest
  Kinds kinds = Kinds::kAsTheJob;
  std::uint64_t first = 1;           // seed
  std::uint64_t seeds = 200;
  std::size_t threads = 1;
  Duration fault_time = std::chrono::seconds(60);
  // Once the last fault has passed every job must end within this much virtual time.
  Duration calm = std::chrono::minutes(30);
  std::function<bool()> interrupted;
  std::function<void(std::uint64_t done, std::size_t failed)> on_progress;  // under a lock
  // Wraps every world's machines, see SimulationRequest.
  std::function<std::unique_ptr<Machine>(std::size_t node, std::unique_ptr<Machine>)> decorate;
};

struct Campaign {
  std::uint64_t done = 0;
  std::vector<std::pair<std::uint64_t, std::string>> failures;  // seed and finding, ascending
  std::uint64_t updates = 0;         // acknowledged
  std::uint64_t events = 0;
  std::uint64_t rounds = 0;          // committed, of each world's first job
  std::uint64_t jobs = 0;            // submitted
  std::uint64_t secure_jobs = 0;     // of those, under secure aggregation
  std::uint64_t mixed = 0;           // worlds with jobs of both kinds
  std::uint64_t opened = 0;          // sums of masked vectors, held against the plain ones
  std::vector<std::pair<std::uint64_t, std::string>> stalemates;  // seed and what its job says, ascending
  double calm_seconds = 0;           // the longest that a world took after its last fault
  Digest trace;                      // of all seeds' traces in order: the same whatever the threads
};

// The faults of one seed.
Scenario scenario_of_seed(const CampaignRequest& request, std::uint64_t seed, std::uint32_t clients);

// `threads` are the world's own. Errors: those of simulate(); kInvalidArgument where the scenario does
// not fit the job or its data.
struct ReplayOptions {
  std::size_t threads = 1;
  std::size_t story_lines = 0;
  std::function<void(const std::deque<std::string>&)> on_story;
};
Result<SimulationResult> replay(const CampaignRequest& request, Populations& populations, const Scenario& scenario,
                                const ReplayOptions& options = {});

Campaign run_campaign(const CampaignRequest& request, Populations& populations, std::uint32_t clients);

// Shrinks what the seed fails with; the scenario must fail.
Shrunk shrink_seed(const CampaignRequest& request, Populations& populations, const Scenario& failing, std::size_t runs_max = 2000);

}  // namespace covey
