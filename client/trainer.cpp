#include "client/trainer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "client/local_steps.h"
#include "client/update_pipeline.h"
#include "core/base/wire.h"
#include "core/nn/model.h"
#include "core/nn/optimizer.h"
#include "core/protocol/manifest.h"
#include "core/spec/setting.h"
#include "core/tensor/ops.h"

namespace covey {

// A replica and what goes with it; each part remembers what it was made for.
struct TrainWorkspace::State {
  struct Offered {
    Digest manifest;
    StoredModel model;
  };
  struct Replica {
    ModelSpec spec;
    TrainSpec train;
    TrainPlan plan;
    std::unique_ptr<Model> model;
    std::unique_ptr<Optimizer> optimizer;
  };
  struct Planned {
    JobSpec job;
    TrainLimits limits;
    TrainPlan plan;
  };
  struct Buffer {
    std::shared_ptr<const Dataset> data;  // shared: keeps alive what `batch` reads
    std::uint32_t batch_size = 0;
    BatchBuffer batch;
  };

  std::unique_ptr<Ops> ops = make_cpu_ops();
  std::optional<Offered> offered;
  std::optional<Planned> planned;
  std::optional<Replica> replica;
  std::optional<Buffer> buffer;
  std::vector<float> delta;
};

TrainWorkspace::TrainWorkspace() : state_(std::make_unique<State>()) {}
TrainWorkspace::~TrainWorkspace() = default;

namespace {

// The workspace may have read it for another client: this one must hold it too.
bool is_here(const StoredModel& model, const Digest& manifest, BlobStore& blobs) {
  const auto& shards = model.manifest.shards;
  return blobs.has(manifest) &&
         std::all_of(shards.begin(), shards.end(), [&](const BlobRef& shard) { return blobs.has(shard.id); });
}

Result<void> take_offered(TrainWorkspace::State& state, const Train& work, BlobStore& blobs) {
  const Digest manifest = work.offer.model.id;
  if (!state.offered || state.offered->manifest != manifest || !is_here(state.offered->model, manifest, blobs)) {
    state.offered.reset();  // one model at a time
    COVEY_TRY(StoredModel model, read_model(blobs, manifest));
    state.offered.emplace(TrainWorkspace::State::Offered{manifest, std::move(model)});
  }
  if (state.offered->model.manifest.spec != work.job.model)
    return unexpected(ErrorCode::kInvalidMessage, "the offered model is not the one that job \"" +
                                                      work.job.name + "\" describes");
  return {};
}

Result<TrainPlan> take_plan(TrainWorkspace::State& state, const JobSpec& job, const TrainLimits& limits) {
  if (state.planned && state.planned->limits == limits && state.planned->job == job) return state.planned->plan;
  COVEY_TRY(const TrainPlan plan, plan_training(job, limits));
  state.planned.emplace(TrainWorkspace::State::Planned{job, limits, plan});
  return plan;
}

Result<void> take_replica(TrainWorkspace::State& state, const JobSpec& job, const TrainPlan& plan) {
  if (state.replica && state.replica->spec == job.model && state.replica->train == job.train && state.replica->plan == plan)
    return {};
  state.replica.reset();
  COVEY_TRY(std::unique_ptr<Model> model, Model::create(job.model, options_of(plan, job), *state.ops));
  auto optimizer = make_optimizer(job.train, model->table(), model->trained(), *state.ops);
  state.replica.emplace(
      TrainWorkspace::State::Replica{job.model, job.train, plan, std::move(model), std::move(optimizer)});
  return {};
}

void take_buffer(TrainWorkspace::State& state, const LocalData& local, std::uint32_t batch_size) {
  if (state.buffer && state.buffer->data == local.data && state.buffer->batch_size == batch_size) return;
  state.buffer.reset();
  state.buffer.emplace(
      TrainWorkspace::State::Buffer{local.data, batch_size, BatchBuffer(*local.data, batch_size)});
}

// One client's stream, told apart by its whole key.
Random order_of(const Train& work, const PeerKey& client) {
  ByteReader key(client.span());
  const std::uint64_t a = key.u64(), b = key.u64(), c = key.u64(), d = key.u64();
  return Random(work.job.seed).split("local steps", work.offer.key.round).split("client", a, b).split("client", c, d);
}

Result<void> check_running(const TrainContext& context) {
  if (context.cancelled != nullptr && context.cancelled->load(std::memory_order_relaxed))
    return unexpected(ErrorCode::kUnavailable, "training was cancelled");
  return {};
}

// `what` has the value that is not finite.
Unexpected diverged(const std::string& where, const char* what, double value, const TrainSpec& spec) {
  const std::string remedy =
      spec.clip_norm > 0 ? " or train.clip_norm (now " + setting_text(spec.clip_norm) + ")"
                         : " or set train.clip_norm";
  return unexpected(ErrorCode::kInvalidUpdate,
                    where + ": the " + what + " is " + (std::isnan(value) ? "NaN" : "infinite") +
                        "; lower train.learning_rate (now " + setting_text(spec.learning_rate) + ")" + remedy);
}

Result<EvalStats> evaluate(TrainWorkspace::State& state, const Train& work, const TrainContext& context) {
  EvalStats stats;
  const std::span<const std::uint32_t> holdout = context.local.split.holdout;
  const std::size_t batch_size = state.replica->plan.micro_batch;
  for (std::size_t begin = 0; begin < holdout.size(); begin += batch_size) {
    COVEY_TRY_VOID(check_running(context));
    const auto indices = holdout.subspan(begin, std::min(batch_size, holdout.size() - begin));
    const BatchStats batch = state.replica->model->evaluate(state.buffer->batch.fill(indices));
    stats += {batch.loss_sum, static_cast<std::uint64_t>(batch.targets), static_cast<std::uint64_t>(batch.correct)};
  }
  if (!std::isfinite(stats.loss_sum))
    return diverged("the offered model on held-out data", "loss", stats.loss_sum, work.job.train);
  return stats;
}

// Forward and backward of one step's examples, in pieces where they do not fit at once; gradients are
// times `loss_scale`. Their mean is over targets, or over examples where each one's gradient is clipped.
BatchStats add_up(TrainWorkspace::State& state, std::span<const std::uint32_t> examples, double loss_scale) {
  const std::size_t piece = state.replica->plan.micro_batch;
  const bool clips = state.replica->train.per_example_clip > 0;
  BatchBuffer& buffer = state.buffer->batch;
  const auto scale_of = [&](std::int64_t targets) {
    const auto parts = clips ? static_cast<std::int64_t>(examples.size()) : targets;
    return loss_scale / static_cast<double>(std::max<std::int64_t>(parts, 1));
  };
  if (examples.size() <= piece) {
    const Minibatch batch = buffer.fill(examples);
    return state.replica->model->add_gradients(batch, scale_of(counted_targets(batch)));
  }
  const auto at = [&](std::size_t begin) { return examples.subspan(begin, std::min(piece, examples.size() - begin)); };
  std::int64_t targets = 0;
  for (std::size_t begin = 0; begin < examples.size() && !clips; begin += piece) targets += counted_targets(buffer.fill(at(begin)));
  BatchStats stats;
  for (std::size_t begin = 0; begin < examples.size(); begin += piece)
    stats += state.replica->model->add_gradients(buffer.fill(at(begin)), scale_of(targets));
  return stats;
}

Result<TrainStats> take_steps(TrainWorkspace::State& state, const Train& work, const TrainContext& context) {
  const TrainSpec& spec = work.job.train;
  const Indices& examples = context.local.split.train;
  const std::uint64_t steps = local_step_count(spec, examples.size());
  if (steps > std::numeric_limits<std::uint32_t>::max())
    return unexpected(ErrorCode::kInvalidArgument,
                      std::to_string(steps) + " local steps: at most 4294967295; lower train.local_epochs");
  Model& model = *state.replica->model;
  state.replica->optimizer->reset();
  const Random random = order_of(work, context.client);
  BatchOrder order(examples, spec.batch_size, random);
  const std::uint64_t coins = random.split("dropout").next();
  const bool fp16 = state.replica->plan.precision == Precision::kFp16;
  LossScaler scaler;
  TrainStats stats;
  for (std::uint64_t step = 0; step < steps; ++step) {
    COVEY_TRY_VOID(check_running(context));
    const double loss_scale = fp16 ? scaler.scale() : 1;
    model.begin_step(coins, step);
    const BatchStats batch = add_up(state, order.next(), loss_scale);
    // The middle of the step, so that a warm-up from 0 wastes none.
    const double share = (static_cast<double>(step) + 0.5) / static_cast<double>(steps);
    const double progress =
        work.offer.progress_begin + share * (work.offer.progress_end - work.offer.progress_begin);
    const double norm = state.replica->optimizer->step(model.parameters(), model.gradients(), progress, 1 / loss_scale);
    stats.loss_sum += batch.loss_sum;
    stats.targets += static_cast<std::uint64_t>(batch.targets);
    stats.steps = static_cast<std::uint32_t>(step + 1);
    // In fp16 a gradient that overflowed costs its step; the next one is scaled less.
    const bool taken = fp16 ? scaler.update(norm) || !scaler.exhausted() : std::isfinite(norm);
    if (std::isfinite(batch.loss_sum) && taken) continue;
    const std::string where = "local step " + std::to_string(step + 1) + " of " + std::to_string(steps);
    if (!std::isfinite(batch.loss_sum)) return diverged(where, "loss", batch.loss_sum, spec);
    return diverged(where, "norm of the gradient", norm, spec);
  }
  return stats;
}

Result<BlobRef> put_update(TrainWorkspace::State& state, const Train& work, BlobStore& blobs) {
  const std::vector<float>& global = state.offered->model.parameters;
  const std::span<const float> trained = state.replica->model->parameters();
  state.delta.resize(global.size());
  std::transform(global.begin(), global.end(), trained.begin(), state.delta.begin(),
                 [](float before, float after) { return before - after; });
  auto prepared = prepare_update(work.job.update, state.delta);
  if (!prepared) return unexpected(in_context("the update after the last local step", prepared.error()));
  return blobs.put(prepared->bytes);
}

Result<Trained> run(TrainWorkspace::State& state, const Train& work, const TrainContext& context) {
  COVEY_TRY_VOID(check_running(context));
  COVEY_TRY_VOID(prepare(context.local));
  COVEY_TRY_VOID(take_offered(state, work, context.blobs));
  TrainLimits limits = context.limits;
  limits.bf16 = bf16_speed(*state.ops);
  COVEY_TRY(const TrainPlan plan, take_plan(state, work.job, limits));
  COVEY_TRY_VOID(take_replica(state, work.job, plan));
  take_buffer(state, context.local, plan.micro_batch);

  const std::vector<float>& global = state.offered->model.parameters;
  const std::span<float> local = state.replica->model->parameters();
  COVEY_CHECK(global.size() == local.size());
  std::copy(global.begin(), global.end(), local.begin());
  if (context.planned) context.planned(plan);

  Trained trained;
  trained.examples = context.local.split.train.size();
  COVEY_TRY(trained.evaluation, evaluate(state, work, context));
  if (work.offer.kind == RoundKind::kEvaluate) return trained;
  COVEY_TRY(trained.train, take_steps(state, work, context));
  COVEY_TRY(trained.update, put_update(state, work, context.blobs));
  return trained;
}

}  // namespace

Result<Trained> train(const Train& work, const TrainContext& context) {
  const Instant begin = context.clock != nullptr ? context.clock->now() : Instant{};
  try {
    std::unique_ptr<TrainWorkspace> own;
    if (context.workspace == nullptr) own = std::make_unique<TrainWorkspace>();
    TrainWorkspace& workspace = own ? *own : *context.workspace;
    COVEY_TRY(Trained trained, run(workspace.state(), work, context));
    if (context.clock != nullptr) trained.train.seconds = seconds(context.clock->now() - begin);
    return trained;
  } catch (const std::bad_alloc&) {
    return unexpected(ErrorCode::kResourceExhausted,
                      "no memory to train job \"" + work.job.name +
                          "\": lower train.batch_size or choose a smaller model");
  }
}

}  // namespace covey
