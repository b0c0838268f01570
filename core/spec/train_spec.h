// What a job says of local training: a plain value shared by the engine and the protocol.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/result.h"

namespace covey {

enum class LocalOptimizer : std::uint8_t { kSgd, kAdamW, kLion, kMuon };
enum class Schedule : std::uint8_t { kConstant, kCosine, kLinear, kWsd };
// What activations are stored and multiplied in; parameters and sums are f32 whatever it is. auto: bf16
// where the client's processor multiplies it fast or f32 does not fit its memory, else f32.
enum class Precision : std::uint8_t { kF32, kBf16, kFp16, kAuto };
// block: what a transformer's block computes is computed again for its gradient instead of kept.
// auto: where it would not fit the client's memory otherwise.
enum class Checkpointing : std::uint8_t { kAuto, kNone, kBlock };
// How weights of linear layers that are not trained are held. int8: with a scale for each row. auto: f32, and in
// fewer bits where it would not fit the client's memory otherwise.
enum class FrozenStorage : std::uint8_t { kAuto, kF32, kBf16, kInt8 };
const char* name_of(LocalOptimizer optimizer);  // "sgd", "adamw", "lion", "muon"
const char* name_of(Schedule schedule);         // "constant", "cosine", "linear", "wsd"
const char* name_of(Precision precision);       // "f32", "bf16", "fp16", "auto"
const char* name_of(Checkpointing kind);        // "auto", "none", "block"
const char* name_of(FrozenStorage storage);     // "auto", "f32", "bf16", "int8"
Result<LocalOptimizer> local_optimizer_from(std::string_view name);
Result<Schedule> schedule_from(std::string_view name);
Result<Precision> precision_from(std::string_view name);
Result<Checkpointing> checkpointing_from(std::string_view name);
Result<FrozenStorage> frozen_storage_from(std::string_view name);

// Of a new job's clip norms that are not 0.
inline constexpr double kClipNormMin = 1e-6;

struct TrainSpec {
  // Exactly one of the two is not 0.
  std::uint32_t local_epochs = 1;
  std::uint32_t local_steps = 0;
  std::uint32_t batch_size = 32;
  std::uint32_t micro_batch = 0;  // examples computed at once, whose gradients add up; 0: what fits the client
  // Not 0: batch_size is where a round begins, and gradient noise moves it between the two. A round then
  // has as many examples as with batch_size, and what steps they make.
  std::uint32_t batch_max = 0;
  std::uint32_t batch_min = 0;  // 0: batch_size

  LocalOptimizer optimizer = LocalOptimizer::kSgd;
  double learning_rate = 0.1;
  double momentum = 0;           // sgd, muon
  bool nesterov = false;         // sgd
  double weight_decay = 0;       // L2 for sgd (as in PyTorch), decoupled for the others
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // adamw; lion (the first two); muon: of what is no matrix
  double muon_learning_rate = 0.02;  // muon: of matrices; learning_rate is of all else, by adamw
  double clip_norm = 0;          // global L2 norm of the gradient; 0: no clipping
  double per_example_clip = 0;   // L2 norm of each example's gradient (Abadi et al. 2016); 0: no clipping. No noise.
  double label_smoothing = 0;    // share of each target that is spread evenly over all classes

  // The learning rate over the whole job, in local steps since round 1.
  Schedule schedule = Schedule::kConstant;
  double warmup = 0;             // share of the job, [0, 1): linear from 0
  double decay = 0.2;            // wsd: share of the job, at its end, in which the rate falls linearly
  double final_ratio = 0.05;     // cosine, linear, wsd: last learning rate / first

  Precision precision = Precision::kAuto;
  Checkpointing checkpointing = Checkpointing::kAuto;
  FrozenStorage frozen_storage = FrozenStorage::kAuto;  // of a transformer's blocks
  std::vector<std::string> frozen;  // names of shards that are not trained; '*' at either end for anything

  bool operator==(const TrainSpec&) const = default;
  bool adapts_batch() const { return batch_max != 0; }
  std::uint32_t smallest_batch() const { return batch_min != 0 ? batch_min : batch_size; }
  Result<void> validate() const;

  // Factor on learning_rate at `progress` in [0, 1] of the whole job.
  double schedule_factor(double progress) const;
};

// Copies of the trained parameters that the optimizer keeps beside them.
std::uint32_t optimizer_copies(const TrainSpec& spec);

}  // namespace covey
