#include "core/spec/train_spec.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/spec/setting.h"

namespace covey {
namespace {

// Factors below 1 are at most this, so that 1 - factor is not lost to rounding.
constexpr double kBelowOne = 0.9999999;

}  // namespace

const char* name_of(LocalOptimizer optimizer) {
  switch (optimizer) {
    case LocalOptimizer::kSgd: return "sgd";
    case LocalOptimizer::kAdamW: return "adamw";
  }
  return "unknown";
}

const char* name_of(Schedule schedule) {
  switch (schedule) {
    case Schedule::kConstant: return "constant";
    case Schedule::kCosine: return "cosine";
  }
  return "unknown";
}

Result<LocalOptimizer> local_optimizer_from(std::string_view name) {
  for (const auto optimizer : {LocalOptimizer::kSgd, LocalOptimizer::kAdamW})
    if (name == name_of(optimizer)) return optimizer;
  return bad_setting("train.optimizer", setting_text(name), "must be \"sgd\" or \"adamw\"");
}

Result<Schedule> schedule_from(std::string_view name) {
  for (const auto schedule : {Schedule::kConstant, Schedule::kCosine})
    if (name == name_of(schedule)) return schedule;
  return bad_setting("train.schedule", setting_text(name), "must be \"constant\" or \"cosine\"");
}

Result<void> TrainSpec::validate() const {
  if (local_epochs == 0 && local_steps == 0)
    return bad_setting("train.local_steps", "0",
                       "set exactly one of train.local_epochs and train.local_steps; "
                       "try train.local_epochs = 1");
  if (local_epochs != 0 && local_steps != 0)
    return bad_setting("train.local_steps", std::to_string(local_steps),
                       "set exactly one of train.local_epochs and train.local_steps; remove it or "
                       "set train.local_epochs = 0");
  COVEY_TRY_VOID(setting_within("train.local_epochs", std::uint64_t{local_epochs}, 0, 10'000));
  COVEY_TRY_VOID(setting_within("train.local_steps", std::uint64_t{local_steps}, 0, 10'000'000));
  COVEY_TRY_VOID(setting_within("train.batch_size", std::uint64_t{batch_size}, 1, 65'536));
  if (optimizer != LocalOptimizer::kSgd && optimizer != LocalOptimizer::kAdamW)
    return bad_setting("train.optimizer", std::to_string(static_cast<int>(optimizer)),
                       "is not a known optimizer");
  if (schedule != Schedule::kConstant && schedule != Schedule::kCosine)
    return bad_setting("train.schedule", std::to_string(static_cast<int>(schedule)),
                       "is not a known schedule");

  COVEY_TRY_VOID(setting_within("train.learning_rate", learning_rate, 1e-12, 1000.0));
  COVEY_TRY_VOID(setting_within("train.momentum", momentum, 0.0, kBelowOne));
  if (optimizer == LocalOptimizer::kAdamW && momentum != 0)
    return bad_setting("train.momentum", setting_text(momentum),
                       "belongs to sgd and adamw has train.beta1; remove it");
  COVEY_TRY_VOID(setting_within("train.weight_decay", weight_decay, 0.0, 100.0));
  COVEY_TRY_VOID(setting_within("train.beta1", beta1, 0.0, kBelowOne));
  COVEY_TRY_VOID(setting_within("train.beta2", beta2, 0.0, kBelowOne));
  COVEY_TRY_VOID(setting_within("train.epsilon", epsilon, 1e-16, 1.0));
  COVEY_TRY_VOID(setting_within("train.clip_norm", clip_norm, 0.0, 1e9));
  COVEY_TRY_VOID(setting_within("train.warmup", warmup, 0.0, kBelowOne));
  COVEY_TRY_VOID(setting_within("train.final_ratio", final_ratio, 0.0, 1.0));
  return {};
}

double TrainSpec::schedule_factor(double progress) const {
  const double p = std::clamp(progress, 0.0, 1.0);
  if (p < warmup) return p / warmup;
  if (schedule == Schedule::kConstant) return 1;
  const double after = (p - warmup) / (1 - warmup);
  return final_ratio + (1 - final_ratio) * 0.5 * (1 + std::cos(std::numbers::pi * after));
}

}  // namespace covey
