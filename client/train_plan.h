// How this client computes a job's training: in which precision, how many examples at once, what is kept
// for the gradient. Pure: the same answers on every machine with the same limits.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "core/nn/model.h"
#include "core/protocol/job_spec.h"

namespace covey {

// What the site asks for; nothing: the plan chooses. Precision only where the job says "auto".
struct TrainWishes {
  std::optional<Precision> precision;  // not kAuto
  std::optional<Checkpointing> checkpointing;  // not kAuto
  std::uint32_t micro_batch = 0;       // 0: none
  bool operator==(const TrainWishes&) const = default;
};

enum class Bf16Speed : std::uint8_t { kSlow, kFast };  // whether the processor multiplies it faster than f32
Bf16Speed bf16_speed(Ops& ops);

struct TrainLimits {
  std::uint64_t memory_bytes = 0;  // of training this model; 0: no limit
  Bf16Speed bf16 = Bf16Speed::kSlow;
  TrainWishes wishes;
  bool operator==(const TrainLimits&) const = default;
};

struct TrainPlan {
  Precision precision = Precision::kF32;                // not kAuto
  Checkpointing checkpointing = Checkpointing::kNone;   // not kAuto
  std::uint32_t micro_batch = 1;                        // examples at once, at most the job's batch_size
  FrozenStorage frozen_storage = FrozenStorage::kF32;   // not kAuto
  std::uint64_t bytes = 0;  // every copy of the parameters that training holds at once, the optimizer's state,
                            // and activations as the replica's own measuring pass counts them
  std::string why = {};     // it was chosen, for people
  bool operator==(const TrainPlan&) const = default;
};
ModelOptions options_of(const TrainPlan& plan, const JobSpec& job);

// The first plan that fits: the whole batch at once and nothing computed twice; then smaller pieces while
// they keep the processor busy; then blocks computed twice; then ever smaller pieces; then, where the job
// leaves the precision open, the same in bf16; and last, where it leaves the storage of frozen weights open,
// all of that with them in bf16, and in int8.
// Errors: kInvalidArgument (a wish for another precision than the job's), kResourceExhausted with the
// least that it takes and the limit; those of Model::memory_bytes.
Result<TrainPlan> plan_training(const JobSpec& job, const TrainLimits& limits);
std::string to_text(const TrainPlan& plan);  // "bf16, 16 examples at once, blocks computed twice, 120 MiB"

}  // namespace covey
