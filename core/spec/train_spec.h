// What a job says of local training: a plain value shared by the engine and the protocol.
#pragma once
#include <cstdint>
#include <string_view>

#include "core/base/result.h"

namespace covey {

enum class LocalOptimizer : std::uint8_t { kSgd, kAdamW };
enum class Schedule : std::uint8_t { kConstant, kCosine };
const char* name_of(LocalOptimizer optimizer);  // "sgd", "adamw"
const char* name_of(Schedule schedule);         // "constant", "cosine"
Result<LocalOptimizer> local_optimizer_from(std::string_view name);
Result<Schedule> schedule_from(std::string_view name);

struct TrainSpec {
  // Exactly one of the two is not 0.
  std::uint32_t local_epochs = 1;
  std::uint32_t local_steps = 0;
  std::uint32_t batch_size = 32;

  LocalOptimizer optimizer = LocalOptimizer::kSgd;
  double learning_rate = 0.1;
  double momentum = 0;           // sgd
  double weight_decay = 0;       // decoupled for adamw, L2 for sgd (as in PyTorch)
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;  // adamw
  double clip_norm = 0;          // global L2 norm of the gradient; 0: no clipping

  // The learning rate over the whole job, in local steps since round 1.
  Schedule schedule = Schedule::kConstant;
  double warmup = 0;             // share of the job, [0, 1): linear from 0
  double final_ratio = 0.05;     // cosine: last learning rate / first

  bool operator==(const TrainSpec&) const = default;
  Result<void> validate() const;

  // Factor on learning_rate at `progress` in [0, 1] of the whole job.
  double schedule_factor(double progress) const;
};

}  // namespace covey
