// Many runs at once, each worker a process: which points there are, kills at each, mutants, phases.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/crash/fault_switch.h"
#include "tests/crash/stage.h"

namespace covey::crash {

// Names, and how often one run that nobody kills passes each; 0: only after a kill.
using Points = std::map<std::string, std::uint64_t>;

struct CampaignConfig {
  std::size_t workers = 4;
  std::string folder;      // for the runs' files; made, and emptied of them again
};

struct Failure {
  Plan plan;
  std::vector<std::string> findings;
};
struct Summary {
  std::uint64_t runs = 0;
  std::uint64_t kills = 0;
  std::uint64_t replayed = 0;
  std::uint64_t stalemates = 0;        // no promise broken: Outcome::stalemate
  std::uint64_t chunks_again_max = 0;  // of one run, for each kill in it
  Oracle::Tally tally;                 // added up
  std::vector<Failure> failures;       // the first few
  std::uint64_t failed = 0;
  double seconds = 0;
  std::optional<std::size_t> first_failed;  // the lowest index among the plans that ended
};

void add(Summary& all, const Summary& more);

class Campaign {
 public:
  Campaign(const Scene& scene, CampaignConfig config) : scene_(scene), config_(std::move(config)) {}

  // Plays them all, or until one fails.
  Summary run(const std::vector<Plan>& plans);
  Summary run_until_failure(const std::vector<Plan>& plans);

  // Which points a victim passes; found by running it. Failures of these runs are in `summary`.
  struct Found {
    Points points;
    Summary summary;
  };
  Found find_points(Victim victim);

  const FaultTable& table() const { return table_; }
  void clear_table() { table_.clear(); }

 private:
  Summary play_all(const std::vector<Plan>& plans, bool stop_at_failure);

  const Scene& scene_;
  CampaignConfig config_;
  FaultTable table_;
};

// A run in which the victim dies at the point for the first time and, half of the time, once or twice
// more wherever it stands then. `points`: what find_points says.
Plan plan_of(Victim victim, const std::string& point, std::uint64_t seed, const Points& points);

// Drawn over the points between what becomes durable and what is told: for mutants.
std::vector<Plan> mixed_plans(Victim victim, Mutant mutant, std::uint64_t first_seed, std::size_t count, const Points& points);

// The flags of `covey-crash one` that play it again.
std::string flags_of(const Plan& plan);

}  // namespace covey::crash
