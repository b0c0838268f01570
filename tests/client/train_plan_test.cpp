#include "client/train_plan.h"

#include <doctest/doctest.h>

#include "core/protocol/exchanged.h"

using namespace covey;

namespace {

JobSpec text_job() {
  JobSpec job;
  job.model.family = ModelFamily::kTransformer;
  job.train.batch_size = 64;
  job.train.optimizer = LocalOptimizer::kAdamW;
  return job;
}

TrainPlan planned(const JobSpec& job, std::uint64_t memory_bytes, Bf16Speed bf16 = Bf16Speed::kSlow) {
  return plan_training(job, {memory_bytes, bf16, {}}).value();
}

}  // namespace

TEST_CASE("train plan: without a limit, the whole batch at once in the job's precision") {
  JobSpec wide = text_job();
  wide.train.precision = Precision::kF32;
  const TrainPlan plan = planned(wide, 0, Bf16Speed::kFast);
  CHECK(planned(text_job(), 0, Bf16Speed::kFast).precision == Precision::kBf16);  // the client's choice, unless the job says
  CHECK(plan.precision == Precision::kF32);
  CHECK(plan.checkpointing == Checkpointing::kNone);
  CHECK(plan.micro_batch == 64);
  JobSpec job = text_job();
  job.train.precision = Precision::kAuto;
  CHECK(planned(job, 0).precision == Precision::kF32);
  CHECK(planned(job, 0, Bf16Speed::kFast).precision == Precision::kBf16);
}

TEST_CASE("train plan: clipping of each example takes memory, and fits into less with blocks computed twice") {
  JobSpec job = text_job(), clipping = text_job();
  clipping.train.per_example_clip = 1;
  const std::uint64_t plain = planned(job, 0).bytes, clipped = planned(clipping, 0).bytes;
  CHECK(options_of(planned(clipping, 0), clipping).per_example_clip == 1);
  CHECK(clipped > plain);
  CHECK(planned(clipping, plain).bytes <= plain);
  job.train.checkpointing = clipping.train.checkpointing = Checkpointing::kBlock;
  CHECK(planned(clipping, 0).bytes - planned(job, 0).bytes < (clipped - plain) / 2);
  clipping.train.precision = Precision::kAuto;
  TrainLimits fp16;
  fp16.wishes.precision = Precision::kFp16;
  CHECK(plan_training(clipping, fp16).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("train plan: less memory gives smaller pieces, then blocks computed twice, then bf16, then a refusal") {
  JobSpec job = text_job();
  job.train.precision = Precision::kAuto;
  TrainPlan last = planned(job, 0);
  int steps = 0;
  const auto seen = [&](auto have) {  // whether some plan on the way down is like that
    TrainPlan plan = planned(job, 0);
    for (;;) {
      if (have(plan)) return true;
      const auto next = plan_training(job, {plan.bytes - 1, Bf16Speed::kSlow, {}});
      if (!next) return false;
      plan = *next;
    }
  };
  CHECK(seen([](const TrainPlan& p) { return p.micro_batch == 8 && p.checkpointing == Checkpointing::kNone; }));
  CHECK(seen([](const TrainPlan& p) { return p.checkpointing == Checkpointing::kBlock && p.precision == Precision::kF32; }));
  CHECK(seen([](const TrainPlan& p) { return p.precision == Precision::kBf16; }));
  for (;; ++steps) {
    const auto next = plan_training(job, {last.bytes - 1, Bf16Speed::kSlow, {}});
    if (!next) {
      CHECK(next.error().code == ErrorCode::kResourceExhausted);
      CHECK(next.error().message.find("training takes at least") == 0);
      break;
    }
    CHECK(next->bytes < last.bytes);
    last = *next;
  }
  CHECK(steps >= 4);
  // Even the least holds the parameters, their gradients, and AdamW's state.
  CHECK(last.bytes > 7 * 4 * parameter_table(job.model).size);
}

TEST_CASE("train plan: what the job or the site says is kept to") {
  JobSpec job = text_job();
  job.train.micro_batch = 16;
  job.train.checkpointing = Checkpointing::kBlock;
  job.train.precision = Precision::kBf16;
  TrainPlan plan = planned(job, 0);
  CHECK(plan.micro_batch == 16);
  CHECK(plan.checkpointing == Checkpointing::kBlock);
  CHECK(plan.precision == Precision::kBf16);
  TrainLimits limits;
  limits.wishes = {{}, Checkpointing::kNone, 100};
  plan = plan_training(job, limits).value();
  CHECK(plan.micro_batch == 64);
  CHECK(plan.checkpointing == Checkpointing::kNone);
  limits.wishes.precision = Precision::kF32;
  const auto refused = plan_training(job, limits);
  REQUIRE(!refused);
  CHECK(refused.error().message.find("this site trains in f32 alone") == 0);
}

TEST_CASE("train plan: checkpointing, bf16 and frozen shards each save memory") {
  JobSpec job = text_job();
  const std::uint64_t all = planned(job, 0).bytes;
  JobSpec again = job, half = job, frozen = job;
  again.train.checkpointing = Checkpointing::kBlock;
  half.train.precision = Precision::kBf16;
  frozen.train.frozen = {"layers.*"};
  CHECK(planned(again, 0).bytes < all / 2);
  CHECK(planned(half, 0).bytes < all * 6 / 10);
  const ParameterTable table = parameter_table(job.model);
  const std::uint64_t layers = table.shards[5].offset - table.shards[1].offset;
  const std::uint64_t saved = all - planned(frozen, 0).bytes;
  CHECK(saved > 3 * 4 * layers - 65'536);  // gradient and two moments, but for rounding and sums thrown away
}

TEST_CASE("train plan: frozen weights are held in fewer bits last, and only where the job leaves it open") {
  JobSpec job = text_job();
  job.model.lora = {4, 8, 0, {"*"}};
  TrainPlan last = planned(job, 0);
  CHECK(last.frozen_storage == FrozenStorage::kF32);
  std::vector<FrozenStorage> seen;
  for (;;) {
    const auto next = plan_training(job, {last.bytes - 1, Bf16Speed::kSlow, {}});
    if (!next) break;
    if (seen.empty() || seen.back() != next->frozen_storage) seen.push_back(next->frozen_storage);
    last = *next;
  }
  CHECK(seen == std::vector{FrozenStorage::kF32, FrozenStorage::kBf16, FrozenStorage::kInt8});
  CHECK(to_text(last).find("frozen weights in int8") != std::string::npos);
  CHECK(last.checkpointing == Checkpointing::kBlock);
  job.train.frozen_storage = FrozenStorage::kF32;
  CHECK(plan_training(job, {last.bytes, Bf16Speed::kSlow, {}}).error().code == ErrorCode::kResourceExhausted);
  // Nothing is frozen: nothing to hold otherwise.
  job = text_job();
  job.train.frozen_storage = FrozenStorage::kInt8;
  CHECK(planned(job, 0).frozen_storage == FrozenStorage::kF32);
}

TEST_CASE("train plan: the difference and the update take what is exchanged") {
  JobSpec job = text_job();
  job.model.lora = {4, 8, 0, {"*"}};
  const std::uint64_t trained = planned(job, 0).bytes;
  const std::uint64_t frozen = parameter_table(job.model).size - exchanged_size(job);
  job.update.exchange = Exchange::kAll;
  CHECK(planned(job, 0).bytes - trained == 2 * sizeof(float) * frozen);
}

TEST_CASE("train plan: what frozen weights take is what they are held in") {
  JobSpec job = text_job();
  job.model.lora = {4, 8, 0, {"*"}};
  std::uint64_t weights = 0;
  const ParameterTable table = parameter_table(job.model);
  for (const std::size_t index : frozen_weights(job.model, {})) weights += table.parameters[index].size;
  const auto bytes = [&](FrozenStorage storage) {
    job.train.frozen_storage = storage;
    return planned(job, 0).bytes;
  };
  const std::uint64_t whole = bytes(FrozenStorage::kF32), half = bytes(FrozenStorage::kBf16), quarter = bytes(FrozenStorage::kInt8);
  CHECK(whole - half > 2 * weights - 65'536);
  CHECK(whole - half < 2 * weights + 65'536);
  // Scales, and the largest weight while it is f32.
  const std::uint64_t widened = 4 * std::uint64_t{job.model.width} * job.model.ffn_width();
  CHECK(whole - quarter > 3 * weights - widened - 65'536);
  CHECK(whole - quarter < 3 * weights);
}
