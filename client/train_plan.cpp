#include "client/train_plan.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/protocol/exchanged.h"
#include "core/spec/parameter_table.h"

namespace covey {
namespace {

constexpr std::uint32_t kRowsBusy = 1024;  // rows of a matrix product below which it wastes the processor

// What is taken, rounded up, and what is allowed, rounded down: a refusal never names the same number twice.
std::string mebibytes(std::uint64_t bytes) { return std::to_string((bytes + (1U << 20) - 1) >> 20) + " MiB"; }
std::string whole_mebibytes(std::uint64_t bytes) { return std::to_string(bytes >> 20) + " MiB"; }

bool has_blocks(const JobSpec& job) { return job.model.family == ModelFamily::kTransformer; }

std::vector<std::uint32_t> pieces(const JobSpec& job, const TrainWishes& wishes) {
  const std::uint32_t batch = job.train.batch_size;
  if (wishes.micro_batch != 0) return {std::min(wishes.micro_batch, batch)};
  if (job.train.micro_batch != 0) return {job.train.micro_batch};
  std::vector<std::uint32_t> sizes{batch};
  while (sizes.back() > 1) sizes.push_back((sizes.back() + 1) / 2);
  return sizes;
}

std::vector<Checkpointing> keepings(const JobSpec& job, const TrainWishes& wishes) {
  if (!has_blocks(job)) return {Checkpointing::kNone};
  if (wishes.checkpointing) return {*wishes.checkpointing};
  if (job.train.checkpointing != Checkpointing::kAuto) return {job.train.checkpointing};
  return {Checkpointing::kNone, Checkpointing::kBlock};
}

std::vector<Precision> precisions(const JobSpec& job, const TrainLimits& limits) {
  if (job.train.precision != Precision::kAuto) return {job.train.precision};
  if (!has_blocks(job)) return {Precision::kF32};
  if (limits.wishes.precision) return {*limits.wishes.precision};
  if (limits.bf16 == Bf16Speed::kFast) return {Precision::kBf16};
  return {Precision::kF32, Precision::kBf16};
}

std::vector<FrozenStorage> storages(const JobSpec& job) {
  if (frozen_weights(job.model, job.train.frozen).empty()) return {FrozenStorage::kF32};
  if (job.train.frozen_storage != FrozenStorage::kAuto) return {job.train.frozen_storage};
  return {FrozenStorage::kF32, FrozenStorage::kBf16, FrozenStorage::kInt8};
}

// All that are allowed, the best first.
std::vector<TrainPlan> candidates(const JobSpec& job, const TrainLimits& limits) {
  std::vector<TrainPlan> plans;
  const std::uint32_t rows = has_blocks(job) ? job.model.context : 1;
  const std::vector<std::uint32_t> sizes = pieces(job, limits.wishes);
  const auto busy = [&](std::uint32_t size) { return size == sizes.front() || std::uint64_t{size} * rows >= kRowsBusy; };
  for (const FrozenStorage storage : storages(job))
    for (const Precision precision : precisions(job, limits))
      for (const bool idle : {false, true})
        for (const Checkpointing keeping : keepings(job, limits.wishes))
          for (const std::uint32_t size : sizes)
            if (busy(size) != idle) plans.push_back({precision, keeping, size, storage, 0, {}});
  return plans;
}

Result<std::uint64_t> bytes_of(const TrainPlan& plan, const JobSpec& job) {
  COVEY_TRY(const std::size_t replica, Model::memory_bytes(job.model, options_of(plan, job)));
  const std::uint64_t parameters = parameter_table(job.model).size;
  const std::uint64_t trained = size_of(trained_ranges(job.model, job.train.frozen));
  const std::uint64_t others = parameters + 2 * exchanged_size(job);  // the offered model; the difference, the update's bytes
  return replica + sizeof(float) * (others + optimizer_copies(job.train) * trained);
}

std::string why_precision(const TrainPlan& plan, const JobSpec& job, const TrainLimits& limits) {
  const std::string name = name_of(plan.precision);
  if (job.train.precision != Precision::kAuto) return name + " as the job says";
  if (!has_blocks(job)) return name + " as this family computes";
  if (limits.wishes.precision) return name + " as this site says";
  if (limits.bf16 == Bf16Speed::kFast) return name + " because this processor multiplies it fast";
  return plan.precision == Precision::kF32 ? name + " because bf16 is no faster here" : name + " because f32 does not fit";
}

// `wanted`: what the best of the allowed plans takes.
std::string why(const TrainPlan& plan, const JobSpec& job, const TrainLimits& limits, std::uint64_t wanted) {
  const std::string precision = why_precision(plan, job, limits);
  if (limits.memory_bytes == 0) return precision + "; no limit of memory";
  const std::string allowed = whole_mebibytes(limits.memory_bytes);
  if (plan.bytes == wanted) return precision + "; fits the " + allowed + " allowed";
  return precision + "; more at once would take " + mebibytes(wanted) + " of the " + allowed + " allowed";
}

}  // namespace

Bf16Speed bf16_speed(Ops& ops) {
  return ops.packed_bytes({64, 64}, DType::kBf16) > 0 ? Bf16Speed::kFast : Bf16Speed::kSlow;
}

ModelOptions options_of(const TrainPlan& plan, const JobSpec& job) {
  ModelOptions options;
  options.batch = plan.micro_batch;
  if (plan.precision == Precision::kBf16) options.activations = DType::kBf16;
  if (plan.precision == Precision::kFp16) options.activations = DType::kF16;
  options.checkpointing = plan.checkpointing;
  options.label_smoothing = static_cast<float>(job.train.label_smoothing);
  options.per_example_clip = job.train.per_example_clip;
  options.frozen = job.train.frozen;
  options.frozen_storage = plan.frozen_storage;
  return options;
}

Result<TrainPlan> plan_training(const JobSpec& job, const TrainLimits& limits) {
  const auto wish = limits.wishes.precision;
  if (wish && *wish != job.train.precision && job.train.precision != Precision::kAuto)
    return unexpected(ErrorCode::kInvalidArgument,
                      std::string("this site trains in ") + name_of(*wish) + " alone, job \"" + job.name +
                          "\" asks for train.precision = \"" + name_of(job.train.precision) +
                          "\"; set \"auto\" in the job, or leave the site's choice out");
  TrainPlan least;
  std::uint64_t wanted = 0;
  for (TrainPlan& plan : candidates(job, limits)) {
    COVEY_TRY(plan.bytes, bytes_of(plan, job));
    if (wanted == 0) wanted = plan.bytes;
    if (limits.memory_bytes == 0 || plan.bytes <= limits.memory_bytes) {
      plan.why = why(plan, job, limits, wanted);
      return std::move(plan);
    }
    if (least.bytes == 0 || plan.bytes < least.bytes) least = plan;
  }
  return unexpected(ErrorCode::kResourceExhausted,
                    "training takes at least " + mebibytes(least.bytes) + " (" + to_text(least) + "), this site allows " +
                        whole_mebibytes(limits.memory_bytes) + ": choose a smaller model, or lend more memory");
}

std::string to_text(const TrainPlan& plan) {
  return std::string(name_of(plan.precision)) + ", " + std::to_string(plan.micro_batch) + " examples at once, " +
         (plan.checkpointing == Checkpointing::kBlock ? "blocks computed twice, " : "") +
         (plan.frozen_storage == FrozenStorage::kF32 ? "" : std::string("frozen weights in ") + name_of(plan.frozen_storage) + ", ") +
         mebibytes(plan.bytes);
}

}  // namespace covey
