#include "coordinator/cli/demo_training.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <thread>

#include "coordinator/work.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"

namespace covey::cli {
namespace {

constexpr std::uint32_t kRounds = 20;
constexpr std::uint32_t kWarmSteps = 3;  // builds kernels, fills caches
constexpr std::uint32_t kMeasuredSteps = 48;
constexpr double kDeadlineLeast = 30, kDeadlineRounds = 4;  // seconds; times the time that a round takes
constexpr std::uint32_t kAttemptsMax = 100;  // of one round: --chaos ends some
constexpr double kDropout = 0.3;             // so that a sum opens with few of so few clients away
constexpr double kShareForTraining = 0.95;  // the rest: sending, aggregating, measuring

// A round of training as an offer to the client's code; `steps` in place of the job's own.
Train offer_of(const JobSpec& job, std::uint32_t steps, const BlobRef& model, RoundKind kind) {
  Train work;
  work.job = job;
  if (steps != 0) work.job.train.local_steps = steps;
  work.offer.key = {1, 1, 1};
  work.offer.kind = kind;
  work.offer.model = model;
  work.offer.progress_begin = 0;
  work.offer.progress_end = 1;
  return work;
}

Result<double> time_steps(const JobSpec& job, const LocalData& data) {
  MemoryBlobs blobs;
  SystemClock clock;
  TrainWorkspace workspace;
  COVEY_TRY(const BlobRef model, initial_model(job, blobs));
  LocalData little{data.data, {data.split.train, {}}};  // no time for what is held out
  const TrainContext context{
      .blobs = blobs, .local = little, .client = {}, .workspace = &workspace, .clock = &clock};
  COVEY_TRY_VOID(train(offer_of(job, kWarmSteps, model, RoundKind::kTrain), context));
  COVEY_TRY(const Trained timed, train(offer_of(job, kMeasuredSteps, model, RoundKind::kTrain), context));
  return timed.train.seconds / kMeasuredSteps;
}

}  // namespace

JobSpec demo_job(std::uint32_t local_steps, double round_seconds) {
  JobSpec job;
  job.name = "demo";
  job.rounds = kRounds;
  job.seed = 1;
  job.model.family = ModelFamily::kTransformer;
  job.model.layers = 4;
  job.model.width = 64;
  job.model.heads = 4;
  job.model.context = 128;
  job.data.format = DataFormat::kText;
  job.data.holdout = 0.1;
  job.train.local_epochs = 0;
  job.train.local_steps = local_steps;
  job.train.batch_size = 4;  // many small steps learn more in the same time
  job.train.optimizer = LocalOptimizer::kAdamW;
  job.train.learning_rate = 3e-3;
  job.train.weight_decay = 0.01;
  job.train.beta2 = 0.99;
  job.train.clip_norm = 1;
  job.train.schedule = Schedule::kCosine;
  job.train.warmup = 0.05;
  job.train.final_ratio = 0.05;
  job.server.optimizer = ServerOptimizerKind::kFedAvgM;
  job.server.momentum = 0.5;  // measured: reaches in 16 rounds what plain averaging reaches in 20
  job.round.deadline = std::chrono::seconds(static_cast<std::int64_t>(kDeadlineLeast + kDeadlineRounds * round_seconds));
  job.round.attempts_max = kAttemptsMax;
  job.privacy.dropout = kDropout;
  return job;
}

Result<std::vector<LocalData>> load_clients(const JobSpec& job, const std::vector<DemoClient>& clients) {
  std::vector<LocalData> all;
  for (const DemoClient& client : clients) {
    COVEY_TRY(LocalData data, make_path_source(client.folder)->load(job));
    all.push_back(std::move(data));
  }
  return all;
}

Result<double> seconds_per_step(const JobSpec& job, const std::vector<LocalData>& clients,
                                std::size_t threads) {
  std::vector<Result<double>> measured(threads, Result<double>(0.0));
  {
    std::vector<std::jthread> running;
    for (std::size_t i = 0; i < threads; ++i)
      running.emplace_back([&, i] { measured[i] = time_steps(job, clients[i % clients.size()]); });
  }
  double slowest = 0;
  for (const auto& one : measured) {
    if (!one) return unexpected(one.error());
    slowest = std::max(slowest, *one);
  }
  return slowest;
}

std::uint32_t steps_per_round(double seconds, double seconds_per_step, std::size_t clients, std::size_t cores,
                              std::uint32_t rounds) {
  const double sharing = static_cast<double>(clients) / static_cast<double>(std::min(clients, cores));
  const double steps = kShareForTraining * seconds / (seconds_per_step * sharing * rounds);
  return static_cast<std::uint32_t>(std::clamp(steps, 2.0, 1e5));
}

Result<BlobRef> initial_model(const JobSpec& job, BlobStore& blobs) {
  COVEY_TRY(const WorkValue value, coordinator_work(InitModel{job}, blobs));
  return std::get<ModelReady>(value).model;
}

Result<BlobRef> train_alone(const AloneRequest& request, const LocalData& data, BlobStore& blobs) {
  const std::uint32_t steps = request.job.rounds * request.job.train.local_steps;
  const TrainContext context{
      .blobs = blobs, .local = data, .client = request.client, .cancelled = request.cancelled};
  COVEY_TRY(const Trained trained,
            train(offer_of(request.job, steps, request.model, RoundKind::kTrain), context));
  COVEY_TRY(const Bytes bytes, blobs.get(trained.update->id));
  COVEY_TRY(const std::vector<float> update, floats_of_bytes(bytes));
  COVEY_TRY(StoredModel model, read_model(blobs, request.model.id));
  for (std::size_t i = 0; i < update.size(); ++i)
    model.parameters[i] -= update[i];  // the update is before - after
  return write_model(blobs, request.job.model, request.job.rounds, model.parameters);
}

Result<EvalStats> evaluate_on(const JobSpec& job, const BlobRef& model, const LocalData& data,
                              BlobStore& blobs) {
  const TrainContext context{.blobs = blobs, .local = data, .client = {}};
  COVEY_TRY(const Trained measured, train(offer_of(job, 0, model, RoundKind::kEvaluate), context));
  return measured.evaluation;
}

std::size_t cores_here() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0)
    return static_cast<std::size_t>(std::max(1, CPU_COUNT(&set)));
  return std::max(1U, std::thread::hardware_concurrency());
}

}  // namespace covey::cli
