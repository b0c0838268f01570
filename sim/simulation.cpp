#include "sim/simulation.h"

#include <algorithm>
#include <cmath>

#include "client/client.h"
#include "coordinator/coordinator.h"
#include "coordinator/work.h"
#include "core/protocol/manifest.h"
#include "sim/operator_node.h"
#include "sim/world.h"

namespace covey {
namespace {

// Virtual time of work that is not training.
constexpr Duration kShortWork = std::chrono::milliseconds(5);

// Steps of one local training.
double local_steps(const JobSpec& job, std::size_t examples) {
  if (job.train.local_steps != 0) return job.train.local_steps;
  return std::ceil(static_cast<double>(examples) / job.train.batch_size) * job.train.local_epochs;
}

// 6 floating-point operations per parameter and target, and 2 per held-out one; a transformer's
// example holds `context` targets.
Duration training_time(const Train& work, const LocalData& local, const Capability& capability) {
  const JobSpec& job = work.job;
  const double parameters = static_cast<double>(parameter_table(job.model).size);
  const double targets = job.model.family == ModelFamily::kTransformer ? job.model.context : 1;
  const double trained = work.offer.kind == RoundKind::kTrain
                             ? local_steps(job, local.split.train.size()) * job.train.batch_size : 0;
  const double flop = parameters * targets * (6 * trained + 2 * static_cast<double>(local.split.holdout.size()));
  return std::max(kShortWork, from_seconds(flop / (capability.gflops * 1e9)));
}

Result<WorkValue> client_work(const Work& work, BlobStore& blobs, const LocalData& local, const Capability& capability,
                              const PeerKey& client) {
  if (std::holds_alternative<PrepareData>(work)) {
    COVEY_TRY(DataPrepared prepared, prepare(local));
    return WorkValue(prepared);
  }
  const auto* training = std::get_if<Train>(&work);
  COVEY_CHECK(training != nullptr);
  // One replica a thread serves every client that the thread trains.
  static thread_local TrainWorkspace workspace;
  COVEY_TRY(Trained trained, train(*training, {.blobs = blobs, .local = local, .client = client, .workspace = &workspace}));
  trained.train.seconds = seconds(training_time(*training, local, capability));
  return WorkValue(std::move(trained));
}

struct Cast {
  SimIdentity coordinator;
  std::vector<SimIdentity> clients;
  SimIdentity boss;
};

Cast make_cast(std::uint64_t seed, std::uint32_t clients) {
  Cast cast{sim_identity(seed, "coordinator", Role::kClient), {}, sim_identity(seed, "operator", Role::kOperator)};
  for (std::uint32_t i = 0; i < clients; ++i)
    cast.clients.push_back(sim_identity(seed, "client-" + std::to_string(i), Role::kClient));
  return cast;
}

NodeParts coordinator_parts(std::uint64_t seed, const Cast& cast) {
  CoordinatorConfig config;
  config.authority = sim_authority(seed).public_key();
  config.record_key = std::make_shared<const SigningKey>(sim_record_key(seed));
  config.operators.push_back(cast.boss.certificate);
  for (const SimIdentity& client : cast.clients) config.operators.push_back(client.certificate);
  const auto work = std::make_shared<CoordinatorWork>();  // shared: by two functions of the parts
  return {cast.coordinator.key, false,
          [config, work](const std::vector<Row>& rows, std::uint64_t) -> Result<std::unique_ptr<Machine>> {
            work->forget_all();  // what the process before this one held in memory
            COVEY_TRY(auto machine, Coordinator::create(config, rows));
            return std::unique_ptr<Machine>(std::move(machine));
          },
          [work](const Work& one, BlobStore& blobs) { return work->compute(one, blobs); },
          [](const Work&) { return kShortWork; }};
}

NodeParts client_parts(const SimulationRequest& request, const Population& population, const Cast& cast, std::uint32_t index) {
  const PeerKey key = cast.clients[index].key;
  const LocalData& local = population.local(index);
  const Capability& capability = population.capability(index);
  ClientConfig config;
  config.coordinator = {cast.coordinator.key, 1};
  config.capability = capability;
  const std::uint64_t instances = Random(request.seed).split("instance", index).next();
  return {key, true,
          [config, instances](const std::vector<Row>& rows, std::uint64_t start) -> Result<std::unique_ptr<Machine>> {
            ClientConfig own = config;
            own.instance = instances + start;
            COVEY_TRY(auto machine, Client::create(own, rows));
            return std::unique_ptr<Machine>(std::move(machine));
          },
          [&local, &capability, key](const Work& work, BlobStore& blobs) { return client_work(work, blobs, local, capability, key); },
          [&local, &capability](const Work& work) {
            const auto* training = std::get_if<Train>(&work);
            return training == nullptr ? kShortWork : training_time(*training, local, capability);
          }};
}

NodeParts operator_parts(const Cast& cast, BlobRef job, OperatorNode::View& view) {
  return {cast.boss.key, true,
          [&view, job, coordinator = cast.coordinator.key](const std::vector<Row>&, std::uint64_t) -> Result<std::unique_ptr<Machine>> {
            return std::unique_ptr<Machine>(std::make_unique<OperatorNode>(coordinator, job, view));
          },
          [](const Work&, BlobStore&) -> Result<WorkValue> { return unexpected(ErrorCode::kInternal, "an operator computes nothing"); },
          [](const Work&) { return kShortWork; }};
}

// The least number of updates that may commit a round, whoever is there: see RoundSpec::quorum.
std::size_t quorum_of(const JobSpec& job) {
  const double least = std::min(2.0, static_cast<double>(job.selection.min_clients));
  return static_cast<std::size_t>(std::max(least, std::ceil(job.round.quorum * job.selection.min_clients)));
}

Result<void> check_ending(Ending ending, const SimulationRequest& request, const OperatorNode::View& view, const Checker& checker) {
  if (!view.detail)
    return unexpected(ErrorCode::kUnavailable, "the job was never submitted: the coordinator cannot be reached in this world, or refused it");
  if (ending == Ending::kHorizon)
    return unexpected(ErrorCode::kUnavailable, "the job did not end within " + std::to_string(static_cast<std::int64_t>(seconds(request.horizon))) +
                                                   " virtual seconds; it stands at round " + std::to_string(view.detail->summary.round) + " of " +
                                                   std::to_string(view.detail->summary.rounds) + " (" + view.detail->summary.text + ")");
  if (ending == Ending::kIdle) return unexpected(ErrorCode::kInternal, "nothing is left to happen but the job has not ended");
  if (const auto finding = checker.at_end(*view.detail)) return unexpected(ErrorCode::kInternal, *finding);
  return {};
}

}  // namespace

Result<SimulationResult> simulate(const SimulationRequest& request, const Population& population) {
  const Cast cast = make_cast(request.seed, population.clients());
  OperatorNode::View view;
  view.on_round = request.on_round;
  const std::string job = to_toml(request.job);
  const BlobRef job_blob = blob_ref_of(bytes_of(job));
  Checker checker(quorum_of(request.job), request.job.durability);

  std::vector<NodeParts> parts;
  parts.push_back(coordinator_parts(request.seed, cast));
  for (std::uint32_t i = 0; i < population.clients(); ++i) parts.push_back(client_parts(request, population, cast, i));
  parts.push_back(operator_parts(cast, job_blob, view));
  const std::size_t boss = parts.size() - 1;
  World world({.seed = request.seed, .faults = request.faults, .horizon = request.horizon, .threads = request.threads},
              std::move(parts), &checker, request.log);
  COVEY_TRY_VOID(world.blobs(boss).put(bytes_of(job)));
  COVEY_TRY(const Ending ending, world.run(boss, request.interrupted));

  SimulationResult result;
  result.interrupted = ending == Ending::kInterrupted;
  if (!result.interrupted) COVEY_TRY_VOID(check_ending(ending, request, view, checker));
  if (const auto finding = checker.chains_at_end(world.rows(0), sim_record_key(request.seed).public_key()))
    return unexpected(ErrorCode::kInternal, *finding);
  if (view.detail) result.detail = *view.detail;
  result.virtual_seconds = seconds(world.elapsed());
  result.events = world.events();
  result.frames = world.frames();
  result.bytes = world.bytes();
  result.acknowledged = checker.acknowledged();
  if (world.blobs(0).has(result.detail.summary.model.id)) {
    COVEY_TRY(StoredModel model, read_model(world.blobs(0), result.detail.summary.model.id));
    result.parameters = std::move(model.parameters);
  }
  result.trace = world.trace_hash();
  return result;
}

}  // namespace covey
