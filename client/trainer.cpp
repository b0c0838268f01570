#include "client/trainer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "client/local_steps.h"
#include "client/update_pipeline.h"
#include "core/base/wire.h"
#include "core/data/augment.h"
#include "core/data/tokens/streamed_windows.h"
#include "core/nn/model.h"
#include "core/nn/optimizer.h"
#include "core/protocol/exchanged.h"
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
    Exchanged exchanged;  // of the job
  };
  struct Buffer {
    std::shared_ptr<const Dataset> data;  // shared: keeps alive what `batch` reads
    std::uint32_t batch_size = 0;
    BatchBuffer batch;
  };

  explicit State(int threads) : team(threads), ops(make_cpu_ops(team)) {}

  Team team;
  std::unique_ptr<Ops> ops;
  std::optional<Offered> offered;
  std::optional<Planned> planned;
  std::optional<Replica> replica;
  std::optional<Buffer> buffer;
  std::vector<float> delta;
};

TrainWorkspace::TrainWorkspace(int threads) : state_(std::make_unique<State>(threads)) {}
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
  state.planned.emplace(TrainWorkspace::State::Planned{job, limits, plan, Exchanged(job)});
  return plan;
}

Result<void> take_replica(TrainWorkspace::State& state, const JobSpec& job, const TrainPlan& plan) {
  if (state.replica && state.replica->spec == job.model && state.replica->train == job.train && state.replica->plan == plan)
    return {};
  state.replica.reset();
  COVEY_TRY(std::unique_ptr<Model> model, Model::create(job.model, options_of(plan, job), *state.ops));
  auto optimizer = make_optimizer(job.train, model->table(), model->held(), model->trained(), *state.ops);
  state.replica.emplace(
      TrainWorkspace::State::Replica{job.model, job.train, plan, std::move(model), std::move(optimizer)});
  return {};
}

void take_buffer(TrainWorkspace::State& state, const std::shared_ptr<const Dataset>& data, std::uint32_t batch_size) {
  if (state.buffer && state.buffer->data == data && state.buffer->batch_size == batch_size) return;
  state.buffer.reset();
  state.buffer.emplace(TrainWorkspace::State::Buffer{data, batch_size, BatchBuffer(*data, batch_size)});
}

// One client's stream, told apart by its whole key.
Random own_stream(const Random& random, const PeerKey& client) {
  ByteReader key(client.span());
  const std::uint64_t a = key.u64(), b = key.u64(), c = key.u64(), d = key.u64();
  return random.split("client", a, b).split("client", c, d);
}
Random order_of(const Train& work, const PeerKey& client) {
  return own_stream(Random(work.job.seed).split("local steps", work.offer.key.round), client);
}
std::uint64_t stream_order(const Train& work, const PeerKey& client) {
  return own_stream(Random(work.job.seed).split("streamed data"), client).next();
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

// The windows of a client's stream, as its steps ask for them.
class StepWindows {
 public:
  // `seed` is of the stream's order. A cursor that these files cannot have had is told to `anew`, and they are read
  // from their beginning. Errors: of the token files, and of bytes that are no cursor.
  Result<void> open(const StreamedFiles& files, std::uint64_t seed, ByteSpan cursor, std::uint32_t count_max,
                    const std::function<void(const Error&)>& anew) {
    COVEY_TRY(TokenStream stream, TokenStream::open(files.path, files.packing, seed));
    if (!cursor.empty()) {
      COVEY_TRY(const TokenCursor place, token_cursor_from(cursor));
      if (const auto found = stream.seek(place); !found) {
        if (found.error().code != ErrorCode::kInvalidArgument) return unexpected(found.error());
        if (anew) anew(found.error());
        COVEY_TRY(stream, TokenStream::open(files.path, files.packing, seed));
      }
    }
    windows_ = std::make_shared<StreamedWindows>(std::move(stream), files.packing.context, count_max);
    places_.resize(count_max);
    std::iota(places_.begin(), places_.end(), 0U);
    return {};
  }
  Result<std::span<const std::uint32_t>> next(std::size_t count) {
    COVEY_TRY_VOID(windows_->read(static_cast<std::uint32_t>(count)));
    return std::span<const std::uint32_t>(places_).first(count);
  }
  std::shared_ptr<const Dataset> data() const { return windows_; }
  Bytes cursor() const { return windows_ ? encode(windows_->cursor()) : Bytes(); }
  std::uint64_t passed_over() const { return windows_ ? windows_->passed_over() : 0; }

 private:
  std::shared_ptr<StreamedWindows> windows_;  // shared: with the workspace's buffer; none: nothing is streamed
  Indices places_;
};

// What a round's local steps are made of: the client's examples, or its stream.
struct StepSource {
  LocalSteps steps;
  StepWindows windows;

  Result<std::span<const std::uint32_t>> next() {
    if (!windows.data()) return steps.next();
    COVEY_TRY(const auto examples, windows.next(steps.wanted()));
    steps.sees(examples.size());
    return examples;
  }
};

// The gradient as it was after the first of a step's pieces; nothing of a batch of one.
struct FirstPiece {
  std::size_t examples = 0;
  double squared_norm = 0;  // of the mean over them, times loss_scale squared
};

// Forward and backward of one step's examples, in pieces where they do not fit at once, or where the first
// of them is asked for; gradients are times `loss_scale`. Their mean is over targets, or over examples where
// each one's gradient is clipped.
BatchStats add_up(TrainWorkspace::State& state, std::span<const std::uint32_t> examples, double loss_scale,
                  FirstPiece* first) {
  std::size_t piece = state.replica->plan.micro_batch;
  if (first != nullptr) piece = std::min(piece, std::max<std::size_t>(1, examples.size() / 2));
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
  for (std::size_t begin = 0; begin < examples.size(); begin += piece) {
    stats += state.replica->model->add_gradients(buffer.fill(at(begin)), scale_of(targets));
    if (first == nullptr || begin != 0 || stats.targets == 0) continue;
    const std::span<float> gradients = state.replica->model->gradients();
    const double share = static_cast<double>(stats.targets) / static_cast<double>(targets);
    *first = {piece, state.ops->squared_norm(tensor_of(gradients, {static_cast<std::int64_t>(gradients.size())})) / (share * share)};
  }
  return stats;
}

// In training alone: the same change for the same round, client, step and example.
Result<void> augment(TrainWorkspace::State& state, const DataSpec& data, const Random& random, std::uint64_t step) {
  if (!data.augments()) return {};
  const AugmentSpec spec{data.augment_flip, data.augment_crop};
  if (step == 0) COVEY_TRY_VOID(check_augment(spec, *state.buffer->data));
  state.buffer->batch.on_fill([spec, own = random.split("augment", step)](std::span<const std::uint32_t> indices,
                                                                         const Minibatch& batch) {
    augment_images(spec, own, indices, batch.inputs);
  });
  return {};
}

// After a step whose gradient's norm was `norm`.
void adapt(AdaptiveBatch& batch, FirstPiece first, std::size_t examples, double norm, double loss_scale) {
  if (first.examples == 0 || first.examples >= examples) return;
  batch.measured({first.squared_norm / (loss_scale * loss_scale), static_cast<double>(first.examples)},
                 {norm * norm, static_cast<double>(examples)});
}

std::string place_of(const LocalSteps& steps) {
  return "local step " + std::to_string(steps.step() + 1) + " of " + std::to_string(steps.steps_max());
}

// Of the job and the client alone is a stream's order: rounds follow one another in one.
Result<StepSource> open_source(TrainWorkspace::State& state, const Train& work, const TrainContext& context) {
  const TrainSpec& spec = work.job.train;
  if (!context.local.stream) return StepSource{LocalSteps(spec, context.local.split.train, order_of(work, context.client)), {}};
  StepSource source{LocalSteps(spec, context.local.train_examples()), {}};
  COVEY_TRY_VOID(source.windows.open(*context.local.stream, stream_order(work, context.client), work.cursor,
                                     std::max(spec.batch_size, spec.batch_max), context.begun_anew));
  take_buffer(state, source.windows.data(), state.replica->plan.micro_batch);
  return source;
}

Result<TrainStats> take_steps(TrainWorkspace::State& state, const Train& work, const TrainContext& context, Bytes& cursor) {
  const TrainSpec& spec = work.job.train;
  const Random random = order_of(work, context.client);
  COVEY_TRY(StepSource source, open_source(state, work, context));
  LocalSteps& steps = source.steps;
  if (steps.steps_max() > std::numeric_limits<std::uint32_t>::max())
    return unexpected(ErrorCode::kInvalidArgument,
                      std::to_string(steps.steps_max()) + " local steps: at most 4294967295; lower train.local_epochs");
  Model& model = *state.replica->model;
  state.replica->optimizer->reset();
  const std::uint64_t coins = random.split("dropout").next();
  const bool fp16 = state.replica->plan.precision == Precision::kFp16;
  LossScaler scaler;
  TrainStats stats;
  for (; !steps.done(); steps.taken()) {
    COVEY_TRY_VOID(check_running(context));
    COVEY_TRY(const auto examples, source.next());
    COVEY_TRY_VOID(augment(state, work.job.data, random, steps.step()));
    const double progress =
        work.offer.progress_begin + steps.middle() * (work.offer.progress_end - work.offer.progress_begin);
    FirstPiece first;
    BatchStats batch;
    double loss_scale = 1, norm = 0;
    // In fp16 a gradient that overflows moves nothing, and is computed again, scaled less: no step is lost.
    do {
      if (fp16) loss_scale = scaler.scale();
      model.begin_step(coins, steps.step());
      batch = add_up(state, examples, loss_scale, steps.adaptive() != nullptr ? &first : nullptr);
      norm = state.replica->optimizer->step(model.parameters(), model.gradients(), progress, 1 / loss_scale, model.gradient_squares());
    } while (fp16 && std::isfinite(batch.loss_sum) && !scaler.update(norm) && !scaler.exhausted());
    stats.loss_sum += batch.loss_sum;
    stats.targets += static_cast<std::uint64_t>(batch.targets);
    stats.steps = static_cast<std::uint32_t>(steps.step() + 1);
    if (!std::isfinite(batch.loss_sum)) return diverged(place_of(steps), "loss", batch.loss_sum, spec);
    if (!std::isfinite(norm)) return diverged(place_of(steps), "norm of the gradient", norm, spec);
    if (steps.adaptive() != nullptr) adapt(*steps.adaptive(), first, examples.size(), norm, loss_scale);
    if (!context.stepped) continue;
    StepReport report{stats.steps, examples.size(), static_cast<std::uint64_t>(batch.targets), batch.loss_sum};
    if (const AdaptiveBatch* adaptive = steps.adaptive()) {
      report.batch = adaptive->size();
      report.noise_scale = adaptive->noise_scale();
    }
    context.stepped(report);
  }
  cursor = source.windows.cursor();
  if (context.damaged && source.windows.passed_over() != 0) context.damaged(source.windows.passed_over());
  return stats;
}

// global - local of what is exchanged, into `delta`.
void take_difference(const TrainWorkspace::State& state, const Exchanged& exchanged, std::vector<float>& delta) {
  const std::vector<float>& global = state.offered->model.parameters;
  const std::span<const float> local = state.replica->model->parameters();
  delta.assign(exchanged.size(), 0.0F);  // what is held in fewer bits is frozen
  std::size_t held_before = 0;
  for (const ParameterRange& held : state.replica->model->held()) {
    std::size_t sent_before = 0;
    for (const ParameterRange& sent : exchanged.ranges()) {
      const std::size_t end = std::min(held.offset + held.size, sent.offset + sent.size);
      for (std::size_t at = std::max(held.offset, sent.offset); at < end; ++at)
        delta[sent_before + (at - sent.offset)] = global[at] - local[held_before + (at - held.offset)];
      sent_before += sent.size;
    }
    held_before += held.size;
  }
}

Result<BlobRef> put_update(TrainWorkspace::State& state, const Train& work, BlobStore& blobs) {
  take_difference(state, state.planned->exchanged, state.delta);
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
  take_buffer(state, context.local.data, plan.micro_batch);
  state.buffer->batch.on_fill({});

  state.replica->model->load(state.offered->model.parameters);
  if (context.planned) context.planned(plan);

  Trained trained;
  trained.examples = context.local.train_examples();
  COVEY_TRY(trained.evaluation, evaluate(state, work, context));
  if (work.offer.kind == RoundKind::kEvaluate) return trained;
  COVEY_TRY(trained.train, take_steps(state, work, context, trained.cursor));
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
