// One job file for the coordinator, the clients and the simulator.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"
#include "core/base/time.h"
#include "core/protocol/quota.h"
#include "core/spec/data_spec.h"
#include "core/spec/model_spec.h"
#include "core/spec/train_spec.h"

namespace covey {

enum class ServerOptimizerKind : std::uint8_t { kFedAvg, kFedAvgM, kFedAdam, kFedYogi };
const char* name_of(ServerOptimizerKind kind);  // "fedavg", "fedavgm", "fedadam", "fedyogi"
Result<ServerOptimizerKind> server_optimizer_from(std::string_view name);

// How the round's updates become one. All but the mean count every client the same
// (aggregation/robust_mean.h).
enum class CombineKind : std::uint8_t { kMean, kMedian, kTrimmedMean, kNormFilter, kGeometricMedian };
const char* name_of(CombineKind kind);  // "mean", "median", "trimmed_mean", "norm_filter", "geometric_median"
Result<CombineKind> combine_from(std::string_view name);

// What is kept of an update between its acknowledgement and the commit of its round. kUpdate: all of
// it, on disk. kAttempt: its share of a sum in memory, so that a restart abandons the attempt.
enum class Durability : std::uint8_t { kUpdate, kAttempt };
const char* name_of(Durability durability);  // "update", "attempt"
Result<Durability> durability_from(std::string_view name);

// What an update holds (core/protocol/exchanged.h): the parameters that training changes, or every one,
// those that are frozen as 0.
enum class Exchange : std::uint8_t { kAll, kTrained };
const char* name_of(Exchange exchange);  // "all", "trained"
Result<Exchange> exchange_from(std::string_view name);

// Secure aggregation is what a job gets that does not say otherwise, in a file or in code: who wants the
// coordinator to see each update writes so. Few are too few for a sum: such a job waits for more clients.
inline constexpr bool kSecureAggregationDefault = true;
inline constexpr std::uint32_t kSecureClientsMin = 4;  // of selection.min_clients, under secure aggregation
inline constexpr std::uint32_t kPlainClientsMin = 2;   // its default in a job file with plain updates

// [selection]
struct SelectionSpec {
  double fraction = 1.0;          // of the nodes that are there, (0, 1]
  std::uint32_t min_clients = kSecureClientsMin;  // a round waits until this many are there, and asks at least them
  double over_selection = 0.0;    // extra share asked, [0, 4]; the round closes at the target
  bool operator==(const SelectionSpec&) const = default;
};

// [round]
struct RoundSpec {
  Duration deadline = std::chrono::seconds(600);
  double quorum = 0.5;             // share of the target that must have delivered at the deadline, (0, 1]
  std::uint32_t attempts_max = 10; // of one round, before the job fails
  bool operator==(const RoundSpec&) const = default;
};

// [server]: Reddi et al. 2021, algorithm 2. The pseudo-gradient is the mean of (global - local), weighted
// by examples, or what `combine` says.
struct ServerSpec {
  CombineKind combine = CombineKind::kMean;
  double trim = 0.2;               // trimmed_mean: share left out at either end, (0, 0.5)
  double norm_factor = 2;          // norm_filter: times the median norm, [1, 1000]
  ServerOptimizerKind optimizer = ServerOptimizerKind::kFedAvg;
  double learning_rate = 1.0;
  double momentum = 0.9;           // fedavgm
  double beta1 = 0.9, beta2 = 0.99, tau = 1e-3;  // fedadam, fedyogi
  bool operator==(const ServerSpec&) const = default;
};

// [update]
struct UpdateSpec {
  double clip_norm = 0;            // L2 bound on one client's update; 0: none
  double value_max = 64;           // bound on |element|: an update beyond it is refused
  Exchange exchange = Exchange::kTrained;  // where nothing is frozen it is this, and both are the same
  bool operator==(const UpdateSpec&) const = default;
};

// [privacy]
struct PrivacySpec {
  bool secure_aggregation = kSecureAggregationDefault;  // the coordinator learns the sum of the updates only
  double corrupt_fraction = 0.1;         // of those asked, who may work with the coordinator, [0, 0.3]
  double dropout = 0.1;                  // of the others, who may fall silent, [0, 0.3]
  double value_range = 4.0;              // an update's elements are clamped to +-this
  std::uint32_t ring_bits = 32;          // of one element in the sum, 16 to 62
  std::uint64_t examples_max = 65536;    // a client's examples beyond this weigh no more
  bool operator==(const PrivacySpec&) const = default;
};

// [simulation]: read by covey-sim alone; never sent to a client.
struct SimulationSpec {
  std::string data;                // path, relative to the job file
  std::uint32_t clients = 10;
  PartitionSpec partition;
  bool operator==(const SimulationSpec&) const = default;
};

struct JobSpec {
  std::string name = "job";
  std::uint32_t rounds = 10;
  std::uint64_t seed = 1;
  Durability durability = Durability::kUpdate;
  std::string start;  // [model] start: name of a model that the coordinator holds (`covey import`); empty: random
  ModelSpec model;
  DataSpec data;
  TrainSpec train;
  SelectionSpec selection;
  RoundSpec round;
  QuotaSpec quota;
  ServerSpec server;
  UpdateSpec update;
  PrivacySpec privacy;
  SimulationSpec simulation;
  bool operator==(const JobSpec&) const = default;

  // Refuses an impossible job by the name of the setting, with the nearest possible one.
  Result<void> validate() const;
};

// R: the bound on |element| under secure aggregation, privacy.value_range or update.clip_norm, if that is less.
double secure_range(const JobSpec& spec);
// S: the largest power of two by which elements within +-range are scaled so that the sum of `members`
// of them, each rounded up, fits `bits` bits with a sign. 0 where not even one step fits.
double secure_scale(double range, std::uint32_t bits, std::uint32_t members);
// Steps from 0 to R below which a sum is too coarse.
inline constexpr double kSecureStepsMin = 256;

// Unknown keys fail and suggest the nearest; known features that are not built yet
// (privacy.epsilon, update.compress ...) fail with kUnsupported. The result is validated. For csv, model.inputs and model.classes
// default to what the columns give. Errors name file position (line) and key.
Result<JobSpec> parse_job(std::string_view toml);

// Every effective value, in a fixed order; parse_accepted_job(to_toml(spec)) == spec (core/protocol/job_fit.h).
// Without [simulation] it is the public configuration that clients get, whose hash they agree on.
std::string to_toml(const JobSpec& spec);
std::string public_toml(const JobSpec& spec);

}  // namespace covey
