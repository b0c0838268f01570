#include "core/spec/train_spec.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "core/spec/setting.h"

namespace covey {
namespace {

// Factors below 1 are at most this, so that 1 - factor is not lost to rounding.
constexpr double kBelowOne = 0.9999999;

constexpr std::array kOptimizers{LocalOptimizer::kSgd, LocalOptimizer::kAdamW, LocalOptimizer::kLion,
                                 LocalOptimizer::kMuon};
constexpr std::array kSchedules{Schedule::kConstant, Schedule::kCosine, Schedule::kLinear, Schedule::kWsd};
constexpr std::array kPrecisions{Precision::kF32, Precision::kBf16, Precision::kFp16, Precision::kAuto};
constexpr std::array kCheckpointings{Checkpointing::kAuto, Checkpointing::kNone, Checkpointing::kBlock};

constexpr std::array kFrozenStorages{FrozenStorage::kAuto, FrozenStorage::kF32, FrozenStorage::kBf16, FrozenStorage::kInt8};

template <class Enum, std::size_t N>
Result<Enum> named(const std::array<Enum, N>& all, std::string_view setting, std::string_view name) {
  std::string known;
  for (std::size_t i = 0; i < N; ++i) {
    if (name == name_of(all[i])) return all[i];
    known += (i == 0 ? "\"" : i + 1 < N ? ", \"" : " or \"") + std::string(name_of(all[i])) + "\"";
  }
  return bad_setting(setting, setting_text(name), "must be " + known);
}

template <class Enum, std::size_t N>
Result<void> known(const std::array<Enum, N>& all, std::string_view setting, Enum value) {
  if (std::find(all.begin(), all.end(), value) != all.end()) return {};
  return bad_setting(setting, std::to_string(static_cast<int>(value)), "is not a known one");
}

Result<void> check_length(const TrainSpec& spec) {
  if (spec.local_epochs == 0 && spec.local_steps == 0)
    return bad_setting("train.local_steps", "0",
                       "set exactly one of train.local_epochs and train.local_steps; "
                       "try train.local_epochs = 1");
  if (spec.local_epochs != 0 && spec.local_steps != 0)
    return bad_setting("train.local_steps", std::to_string(spec.local_steps),
                       "set exactly one of train.local_epochs and train.local_steps; remove it or "
                       "set train.local_epochs = 0");
  COVEY_TRY_VOID(setting_within("train.local_epochs", std::uint64_t{spec.local_epochs}, 0, 10'000));
  COVEY_TRY_VOID(setting_within("train.local_steps", std::uint64_t{spec.local_steps}, 0, 10'000'000));
  COVEY_TRY_VOID(setting_within("train.batch_size", std::uint64_t{spec.batch_size}, 1, 65'536));
  return setting_within("train.micro_batch", std::uint64_t{spec.micro_batch}, 0, spec.batch_size);
}

// Noise is told from two sizes of one batch, so that no batch may have fewer than two examples.
Result<void> check_batches(const TrainSpec& spec) {
  if (!spec.adapts_batch()) {
    if (spec.batch_min == 0) return {};
    return bad_setting("train.batch_min", std::to_string(spec.batch_min), "belongs to train.batch_max; remove it or set that");
  }
  COVEY_TRY_VOID(setting_within("train.batch_max", std::uint64_t{spec.batch_max}, spec.batch_size, 65'536));
  if (spec.smallest_batch() < 2 || spec.smallest_batch() > spec.batch_size)
    return bad_setting(spec.batch_min != 0 ? "train.batch_min" : "train.batch_size", std::to_string(spec.smallest_batch()),
                       "with train.batch_max must lie in [2, train.batch_size]; try 2");
  if (spec.per_example_clip > 0)
    return bad_setting("train.batch_max", std::to_string(spec.batch_max),
                       "moves the batch by the data, and train.per_example_clip promises that one example shows little; remove one of the two");
  return {};
}

Result<void> check_optimizer(const TrainSpec& spec) {
  COVEY_TRY_VOID(known(kOptimizers, "train.optimizer", spec.optimizer));
  COVEY_TRY_VOID(setting_within("train.learning_rate", spec.learning_rate, 1e-12, 1000.0));
  COVEY_TRY_VOID(setting_within("train.muon_learning_rate", spec.muon_learning_rate, 1e-12, 1000.0));
  COVEY_TRY_VOID(setting_within("train.momentum", spec.momentum, 0.0, kBelowOne));
  const bool sgd = spec.optimizer == LocalOptimizer::kSgd;
  if (!sgd && spec.optimizer != LocalOptimizer::kMuon && spec.momentum != 0)
    return bad_setting("train.momentum", setting_text(spec.momentum),
                       "belongs to sgd and muon, and " + std::string(name_of(spec.optimizer)) +
                           " has train.beta1; remove it");
  if (spec.nesterov && (!sgd || spec.momentum == 0))
    return bad_setting("train.nesterov", "true", "belongs to sgd with a train.momentum; remove it or try momentum = 0.9");
  COVEY_TRY_VOID(setting_within("train.weight_decay", spec.weight_decay, 0.0, 100.0));
  COVEY_TRY_VOID(setting_within("train.beta1", spec.beta1, 0.0, kBelowOne));
  COVEY_TRY_VOID(setting_within("train.beta2", spec.beta2, 0.0, kBelowOne));
  return setting_within("train.epsilon", spec.epsilon, 1e-16, 1.0);
}

Result<void> check_schedule(const TrainSpec& spec) {
  COVEY_TRY_VOID(known(kSchedules, "train.schedule", spec.schedule));
  COVEY_TRY_VOID(setting_within("train.warmup", spec.warmup, 0.0, kBelowOne));
  COVEY_TRY_VOID(setting_within("train.final_ratio", spec.final_ratio, 0.0, 1.0));
  COVEY_TRY_VOID(setting_within("train.decay", spec.decay, 0.0, 1.0));
  if (spec.schedule == Schedule::kWsd && spec.warmup + spec.decay > 1)
    return bad_setting("train.decay", setting_text(spec.decay),
                       "with train.warmup = " + setting_text(spec.warmup) + " is more than the whole job; try " +
                           setting_text(1 - spec.warmup));
  return {};
}

Result<void> check_frozen(const std::vector<std::string>& frozen) {
  COVEY_TRY_VOID(setting_within("size of train.frozen", std::uint64_t{frozen.size()}, 0, 1024));
  for (const std::string& name : frozen)
    if (name.empty() || name.size() > 128)
      return bad_setting("train.frozen", setting_text(name), "must have 1 to 128 bytes");
  return {};
}

}  // namespace

const char* name_of(LocalOptimizer optimizer) {
  switch (optimizer) {
    case LocalOptimizer::kSgd: return "sgd";
    case LocalOptimizer::kAdamW: return "adamw";
    case LocalOptimizer::kLion: return "lion";
    case LocalOptimizer::kMuon: return "muon";
  }
  return "unknown";
}

const char* name_of(Schedule schedule) {
  switch (schedule) {
    case Schedule::kConstant: return "constant";
    case Schedule::kCosine: return "cosine";
    case Schedule::kLinear: return "linear";
    case Schedule::kWsd: return "wsd";
  }
  return "unknown";
}

const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::kF32: return "f32";
    case Precision::kBf16: return "bf16";
    case Precision::kFp16: return "fp16";
    case Precision::kAuto: return "auto";
  }
  return "unknown";
}

const char* name_of(Checkpointing kind) {
  switch (kind) {
    case Checkpointing::kAuto: return "auto";
    case Checkpointing::kNone: return "none";
    case Checkpointing::kBlock: return "block";
  }
  return "unknown";
}

const char* name_of(FrozenStorage storage) {
  switch (storage) {
    case FrozenStorage::kAuto: return "auto";
    case FrozenStorage::kF32: return "f32";
    case FrozenStorage::kBf16: return "bf16";
    case FrozenStorage::kInt8: return "int8";
  }
  return "unknown";
}

Result<LocalOptimizer> local_optimizer_from(std::string_view name) {
  return named(kOptimizers, "train.optimizer", name);
}
Result<Schedule> schedule_from(std::string_view name) { return named(kSchedules, "train.schedule", name); }
Result<Precision> precision_from(std::string_view name) { return named(kPrecisions, "train.precision", name); }
Result<Checkpointing> checkpointing_from(std::string_view name) {
  return named(kCheckpointings, "train.checkpointing", name);
}

Result<FrozenStorage> frozen_storage_from(std::string_view name) {
  return named(kFrozenStorages, "train.frozen_storage", name);
}

namespace {

// New jobs have a lower bound, too (core/protocol/job_fit.h).
Result<void> check_clip(std::string_view name, double norm) {
  constexpr double kLargest = 1e9;
  if (norm >= 0 && norm <= kLargest) return {};
  return bad_setting(name, setting_text(norm),
                     "must be 0 (gradients are not clipped), or lie in [" + setting_text(kClipNormMin) + ", " + setting_text(kLargest) + "]");
}

}  // namespace

Result<void> TrainSpec::validate() const {
  COVEY_TRY_VOID(check_length(*this));
  COVEY_TRY_VOID(check_batches(*this));
  COVEY_TRY_VOID(check_optimizer(*this));
  COVEY_TRY_VOID(check_clip("train.clip_norm", clip_norm));
  COVEY_TRY_VOID(check_clip("train.per_example_clip", per_example_clip));
  COVEY_TRY_VOID(setting_within("train.label_smoothing", label_smoothing, 0.0, 0.99));
  COVEY_TRY_VOID(check_schedule(*this));
  COVEY_TRY_VOID(known(kPrecisions, "train.precision", precision));
  COVEY_TRY_VOID(known(kCheckpointings, "train.checkpointing", checkpointing));
  COVEY_TRY_VOID(known(kFrozenStorages, "train.frozen_storage", frozen_storage));
  return check_frozen(frozen);
}

double TrainSpec::schedule_factor(double progress) const {
  const double p = std::clamp(progress, 0.0, 1.0);
  if (p < warmup) return p / warmup;
  if (schedule == Schedule::kConstant) return 1;
  // Of what comes after the warm-up, or of the decay.
  const double begin = schedule == Schedule::kWsd ? 1 - decay : warmup;
  if (p <= begin) return 1;
  const double after = (p - begin) / (1 - begin);
  const double left = schedule == Schedule::kCosine ? 0.5 * (1 + std::cos(std::numbers::pi * after)) : 1 - after;
  return final_ratio + (1 - final_ratio) * left;
}

std::uint32_t optimizer_copies(const TrainSpec& spec) {
  switch (spec.optimizer) {
    case LocalOptimizer::kSgd: return spec.momentum > 0 ? 1 : 0;
    case LocalOptimizer::kAdamW:
    case LocalOptimizer::kMuon: return 2;
    case LocalOptimizer::kLion: return 1;
  }
  return 2;
}

}  // namespace covey
