#include "sim/simulation.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "client/client.h"
#include "client/mask_work.h"
#include "coordinator/coordinator.h"
#include "coordinator/tables.h"
#include "coordinator/work.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"
#include "sim/enroller.h"
#include "sim/liar.h"
#include "sim/operator_node.h"
#include "sim/stalemate.h"
#include "sim/world.h"

namespace covey {
namespace {

// Virtual time of work that is not training.
constexpr Duration kShortWork = std::chrono::milliseconds(5);

// The chance that a process draws its keys from: another at each start.
class SimSecureRandom final : public SecureRandom {
 public:
  explicit SimSecureRandom(Random random) : random_(random) {}
  void fill(std::span<std::uint8_t> out) override {
    for (std::uint8_t& byte : out) byte = static_cast<std::uint8_t>(random_.next() >> 32U);
  }

 private:
  Random random_;
};
std::shared_ptr<SecureRandom> chance_of(const SimulationRequest& request, std::size_t node, std::uint64_t start) {
  return std::make_shared<SimSecureRandom>(Random(request.seed).split("keys", node, start));
}

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
  if (const auto* mask = std::get_if<MaskUpdate>(&work)) {
    COVEY_TRY(const UpdateMasked masked, mask_update(*mask, {.blobs = blobs, .client = client}));
    return WorkValue(masked);
  }
  if (const auto* letter = std::get_if<PutBlob>(&work)) {
    COVEY_TRY(const BlobRef blob, blobs.put(letter->content));
    return WorkValue(BlobPut{blob});
  }
  const auto* training = std::get_if<Train>(&work);
  COVEY_CHECK(training != nullptr);
  // One replica a thread serves every client that the thread trains.
  static thread_local TrainWorkspace workspace;
  COVEY_TRY(Trained trained, train(*training, {.blobs = blobs, .local = local, .client = client, .workspace = &workspace}));
  trained.train.seconds = seconds(training_time(*training, local, capability));
  return WorkValue(std::move(trained));
}

// Where the world's clocks begin, and when a late node's token expires: no jump of a clock makes it late.
const Instant kTokenExpires = instant_of_nanos(1'700'000'000'000'000'000) + std::chrono::hours(24 * 365);

struct Cast {
  SimIdentity coordinator;
  std::vector<SimIdentity> clients;
  std::vector<bool> late;  // of each client: enrolled by the operator while the world runs
  SimIdentity boss;
  std::shared_ptr<PublicWork> public_work;  // shared: by every machine, so that each signature is verified once
};

Cast make_cast(const SimulationRequest& request, std::uint32_t clients) {
  const std::uint64_t seed = request.seed;
  Cast cast{sim_identity(seed, "coordinator", Role::kClient), {}, std::vector<bool>(clients), sim_identity(seed, "operator", Role::kOperator),
            std::make_shared<PublicWork>(PublicWork::Memory::kRemember)};
  for (const OperatorAct& act : request.faults.acts)
    if (act.act == Act::kEnrol) cast.late[act.target - 1] = true;
  for (std::uint32_t i = 0; i < clients; ++i)
    cast.clients.push_back(sim_identity(seed, "client-" + std::to_string(i), Role::kClient, cast.late[i] ? kTokenExpires : Instant{}));
  return cast;
}

using Boot = decltype(NodeParts::boot);

Boot decorated(const SimulationRequest& request, std::size_t node, Boot boot) {
  if (!request.decorate) return boot;
  return [&request, node, boot](const std::vector<Row>& rows, const std::vector<BlobRef>& partials, std::uint64_t start) -> Result<std::unique_ptr<Machine>> {
    COVEY_TRY(auto machine, boot(rows, partials, start));
    return request.decorate(node, std::move(machine));
  };
}

Result<std::set<Digest>> needed_by_client(const std::vector<Row>& rows) {
  COVEY_TRY(const std::vector<Digest> blobs, referenced_blobs(rows));
  return std::set<Digest>(blobs.begin(), blobs.end());
}

NodeParts coordinator_parts(const SimulationRequest& request, const Cast& cast) {
  CoordinatorConfig config;
  config.authority = sim_authority(request.seed).public_key();
  config.record_key = std::make_shared<const SigningKey>(sim_record_key(request.seed));
  config.jobs_running_max = 2;
  config.public_work = cast.public_work;
  config.operators.push_back(cast.boss.certificate);
  for (std::size_t i = 0; i < cast.clients.size(); ++i)
    if (!cast.late[i]) config.operators.push_back(cast.clients[i].certificate);
  const auto work = std::make_shared<CoordinatorWork>(CoordinatorWorkConfig{.rows = {}, .start = request.start});  // shared: by two functions of the parts
  NodeParts parts;
  parts.key = cast.coordinator.key;
  parts.name = "coordinator";
  parts.member = false;
  parts.boot = decorated(request, 0, [config, work, &request](const std::vector<Row>& rows, const std::vector<BlobRef>& partials, std::uint64_t start)
                                           -> Result<std::unique_ptr<Machine>> {
    work->forget_all();  // what the process before this one held in memory
    CoordinatorConfig own = config;
    own.random = chance_of(request, 0, start);
    own.partials = partials;
    COVEY_TRY(auto machine, Coordinator::create(std::move(own), rows));
    return std::unique_ptr<Machine>(std::move(machine));
  });
  parts.work = [work](const Work& one, BlobStore& blobs) { return work->compute(one, blobs); };
  parts.duration = [](const Work&) { return kShortWork; };
  parts.keep = blobs_in_rows;
  return parts;
}

// The job, and what is submitted further: under secure aggregation each with another seed, for of the same first
// model no member would take part in a second sum. Errors: the other kind of the job is none that can run.
Result<std::vector<JobSpec>> submissions(const SimulationRequest& request) {
  std::vector<JobSpec> jobs{request.job};
  const JobSpec other = other_kind(request.job);
  std::uint64_t seeds = 0;
  for (const OperatorAct& act : request.faults.acts) {
    if (act.act != Act::kSubmit && act.act != Act::kSubmitOther) continue;
    jobs.push_back(act.act == Act::kSubmit ? request.job : other);
    if (jobs.back().privacy.secure_aggregation) jobs.back().seed += ++seeds;
    COVEY_TRY_VOID(jobs.back().validate());
  }
  return jobs;
}

bool any_secure(const std::vector<JobSpec>& jobs) {
  return std::any_of(jobs.begin(), jobs.end(), [](const JobSpec& job) { return job.privacy.secure_aggregation; });
}
bool any_plain(const std::vector<JobSpec>& jobs) {
  return std::any_of(jobs.begin(), jobs.end(), [](const JobSpec& job) { return !job.privacy.secure_aggregation; });
}

NodeParts client_parts(const SimulationRequest& request, const Population& population, const Cast& cast, std::uint32_t index,
                       const std::vector<JobSpec>& jobs) {
  const PeerKey key = cast.clients[index].key;
  const LocalData& local = population.local(index);
  const Capability& capability = population.capability(index);
  ClientConfig config;
  config.coordinator = {cast.coordinator.key, 1};
  config.capability = capability;
  config.certificate = cast.clients[index].certificate;
  config.authority = sim_authority(request.seed).public_key();
  config.signing = cast.clients[index].signing;
  config.public_work = cast.public_work;
  config.policy.plain_updates = any_plain(jobs);
  const std::uint64_t instances = Random(request.seed).split("instance", index).next();
  NodeParts parts;
  parts.key = key;
  parts.name = cast.clients[index].certificate.name;
  parts.boot = decorated(request, index + 1, [config, instances, index, &request](const std::vector<Row>& rows, const std::vector<BlobRef>&, std::uint64_t start)
                                                    -> Result<std::unique_ptr<Machine>> {
    ClientConfig own = config;
    own.instance = instances + start;
    own.random = chance_of(request, index + 1, start);
    COVEY_TRY(auto machine, Client::create(own, rows));
    return std::unique_ptr<Machine>(std::move(machine));
  });
  parts.work = [&local, &capability, key](const Work& work, BlobStore& blobs) { return client_work(work, blobs, local, capability, key); };
  if (request.spoil)
    parts.work = [&request, index, work = parts.work](const Work& what, BlobStore& blobs) {
      return request.spoil(index, what, work(what, blobs), blobs);
    };
  parts.duration = [&local, &capability](const Work& work) {
    const auto* training = std::get_if<Train>(&work);
    return training == nullptr ? kShortWork : training_time(*training, local, capability);
  };
  parts.keep = needed_by_client;
  return parts;
}

void make_liar(NodeParts& parts, Lie lie, const SimulationRequest& request, const LiarNode::Self& self) {
  parts.liar = true;
  const Random random = Random(request.seed).split("liar", static_cast<std::uint64_t>(lie), parts.key.bytes[0]);
  parts.boot = [boot = parts.boot, lie, self, random](
                   const std::vector<Row>& rows, const std::vector<BlobRef>& partials, std::uint64_t start) -> Result<std::unique_ptr<Machine>> {
    COVEY_TRY(auto machine, boot(rows, partials, start));
    return std::unique_ptr<Machine>(std::make_unique<LiarNode>(std::move(machine), lie, self, random.split("start", start)));
  };
  parts.work = [work = parts.work, lie](const Work& what, BlobStore& blobs) { return lying_work(lie, what, work(what, blobs), blobs); };
  parts.tamper = [lie](Message& bulk) { return tamper(lie, bulk); };
}

NodeParts person(PeerKey key, std::string name, Boot boot) {
  NodeParts parts;
  parts.key = key;
  parts.name = std::move(name);
  parts.boot = std::move(boot);
  parts.work = [](const Work&, BlobStore&) -> Result<WorkValue> { return unexpected(ErrorCode::kInternal, "a person computes nothing"); };
  parts.duration = [](const Work&) { return kShortWork; };
  return parts;
}

NodeParts enroller_parts(const Cast& cast, std::size_t client) {
  const Certificate& certificate = cast.clients[client].certificate;
  return person(certificate.delegation.one_time_curve, certificate.name + "'s token",
                [certificate, coordinator = cast.coordinator.key](const std::vector<Row>&, const std::vector<BlobRef>&, std::uint64_t) -> Result<std::unique_ptr<Machine>> {
                  return std::unique_ptr<Machine>(std::make_unique<Enroller>(coordinator, certificate));
                });
}

// The authority vouches for everyone there at the start, in pages; for those who enrol later or are revoked,
// one by one, for a page is issued whole or not at all.
std::vector<OperatorNode::Order> credential_orders(const FaultPlan& plan, const Cast& cast) {
  std::vector<std::optional<Duration>> alone(cast.clients.size());
  for (const OperatorAct& act : plan.acts)
    if (act.act == Act::kEnrol || act.act == Act::kRevoke) {
      auto& at = alone.at(act.target - 1);
      const Duration from = act.act == Act::kEnrol ? act.at : Duration::zero();
      at = at ? std::max(*at, from) : from;
    }
  std::vector<OperatorNode::Order> orders;
  IssueCredentials page;
  for (std::size_t i = 0; i < cast.clients.size(); ++i) {
    const NodeCredential one{cast.clients[i].key, cast.clients[i].credential};
    if (alone[i])
      orders.push_back({*alone[i], IssueCredentials{{one}}});
    else
      page.credentials.push_back(one);
    if (page.credentials.size() < kVouchPageRowsMax && (i + 1 < cast.clients.size() || page.credentials.empty())) continue;
    orders.push_back({Duration::zero(), std::exchange(page, {})});
  }
  return orders;
}

// Jobs as they are submitted, in order, and the operator's blobs of them.
struct Submissions {
  const std::vector<JobSpec>& jobs;
  const std::vector<BlobRef>& blobs;
};

std::vector<OperatorNode::Order> orders_of(const SimulationRequest& request, const Cast& cast, const Submissions& submitted) {
  const FaultPlan& plan = request.faults;
  std::vector<OperatorNode::Order> orders;
  if (any_secure(submitted.jobs)) orders = credential_orders(plan, cast);
  for (const OperatorAct& act : plan.acts) {
    const auto client = [&]() -> const SimIdentity& { return cast.clients.at(act.target - 1); };
    switch (act.act) {
      case Act::kSubmit:
      case Act::kSubmitOther: orders.push_back({act.at, SubmitJob{}}); break;
      case Act::kStop: orders.push_back({act.at, StopJob{act.target}}); break;
      case Act::kRevoke: orders.push_back({act.at, RevokeNode{client().certificate.name}}); break;
      case Act::kEnrol: orders.push_back({act.at, RegisterToken{client().certificate.delegation}}); break;
    }
  }
  return orders;
}

NodeParts operator_parts(const SimulationRequest& request, const Cast& cast, const Submissions& submitted, OperatorNode::View& view) {
  return person(cast.boss.key, "operator", [&view, jobs = submitted.blobs, orders = orders_of(request, cast, submitted), coordinator = cast.coordinator.key](
                                   const std::vector<Row>&, const std::vector<BlobRef>&, std::uint64_t) -> Result<std::unique_ptr<Machine>> {
    return std::unique_ptr<Machine>(std::make_unique<OperatorNode>(coordinator, jobs, orders, view));
  });
}

std::vector<NodeParts> make_nodes(const SimulationRequest& request, const Population& population, const Cast& cast,
                                  const Submissions& submitted, OperatorNode::View& view) {
  std::vector<NodeParts> parts{coordinator_parts(request, cast)};
  for (std::uint32_t i = 0; i < population.clients(); ++i) parts.push_back(client_parts(request, population, cast, i, submitted.jobs));
  for (const Liar& liar : request.faults.liars)
    make_liar(parts.at(liar.node), liar.lie, request, {cast.coordinator.key, cast.clients.at(liar.node - 1).signing, request.faults.quiet_after});
  for (std::size_t i = 0; i < cast.late.size(); ++i)
    if (cast.late[i]) parts.push_back(enroller_parts(cast, i));
  parts.push_back(operator_parts(request, cast, submitted, view));
  return parts;
}

// The least number of updates that may commit a round, whoever is there: see RoundSpec::quorum.
std::size_t quorum_of(const JobSpec& job) {
  const double least = std::min(2.0, static_cast<double>(job.selection.min_clients));
  return static_cast<std::size_t>(std::max(least, std::ceil(job.round.quorum * job.selection.min_clients)));
}

bool stop_was_ordered(const FaultPlan& plan, JobId job) {
  return std::any_of(plan.acts.begin(), plan.acts.end(), [&](const OperatorAct& act) { return act.act == Act::kStop && act.target == job; });
}

// `stuck`: jobs that failed and broke no promise by it (stalemate.h).
Result<void> check_ending(Ending ending, const SimulationRequest& request, const OperatorNode::View& view,
                          const std::map<JobId, std::string>& stuck, const Checker& checker) {
  if (!view.detail)
    return unexpected(ErrorCode::kUnavailable, "the job was never submitted: the coordinator cannot be reached in this world, or refused it");
  const JobSummary& first = view.detail->summary;
  if (ending == Ending::kHorizon)
    return unexpected(ErrorCode::kUnavailable, "the jobs did not end within " + std::to_string(static_cast<std::int64_t>(seconds(request.horizon))) +
                                                   " virtual seconds; the first is " + name_of(first.state) + " at round " + std::to_string(first.round) +
                                                   " of " + std::to_string(first.rounds) + " (" + first.text + ")");
  if (ending == Ending::kIdle) return unexpected(ErrorCode::kInternal, "nothing is left to happen but the job has not ended");
  for (const auto& [job, summary] : view.others) {
    if (summary.state == JobState::kFinished && summary.round == summary.rounds) continue;
    if (summary.state == JobState::kStopped && stop_was_ordered(request.faults, job)) continue;
    if (stuck.contains(job)) continue;
    return unexpected(ErrorCode::kInternal, "job " + std::to_string(job) + " ended " + name_of(summary.state) + ": " + summary.text);
  }
  if (first.state == JobState::kStopped && stop_was_ordered(request.faults, first.job)) return {};
  if (stuck.contains(first.job)) return {};
  if (const auto finding = checker.at_end(*view.detail)) return unexpected(ErrorCode::kInternal, *finding);
  return {};
}

}  // namespace

JobSpec other_kind(JobSpec job) {
  job.privacy.secure_aggregation = !job.privacy.secure_aggregation;
  return job;
}

Result<SimulationResult> simulate(const SimulationRequest& request, const Population& population) {
  COVEY_TRY_VOID(validate(request.faults, population.clients()));
  const Cast cast = make_cast(request, population.clients());
  OperatorNode::View view;
  view.on_round = request.on_round;
  COVEY_TRY(const std::vector<JobSpec> jobs, submissions(request));
  std::vector<BlobRef> job_blobs;
  for (const JobSpec& job : jobs) job_blobs.push_back(blob_ref_of(bytes_of(to_toml(job))));
  Checker checker(quorum_of(request.job), request.job.durability);
  std::vector<NodeParts> parts = make_nodes(request, population, cast, {jobs, job_blobs}, view);
  const std::size_t boss = parts.size() - 1;
  World world({.seed = request.seed, .faults = request.faults, .horizon = request.horizon, .threads = request.threads,
               .story_lines = request.on_story ? request.story_lines : 0},
              std::move(parts), &checker, request.log);
  for (const JobSpec& job : jobs) COVEY_TRY_VOID(world.blobs(boss).put(bytes_of(to_toml(job))));
  const Result<Ending> ending = world.run(boss, request.interrupted);
  if (request.on_story) request.on_story(world.story());
  if (request.on_checked) request.on_checked(checker);
  if (!ending) return unexpected(ending.error());

  SimulationResult result;
  result.interrupted = *ending == Ending::kInterrupted;
  Bindings::Rows honest;
  for (const std::size_t client : Bindings::honest(request.faults, population.clients())) honest[client] = world.rows(client);
  const Bindings bindings(honest);
  std::map<JobId, std::string> stuck;
  const auto look_at = [&](const JobSummary& summary) {
    ++result.jobs;
    const auto submission = view.submission.find(summary.job);
    if (submission == view.submission.end()) return;  // its operator does not know yet which it is
    const JobSpec& job = jobs.at(submission->second);
    if (job.privacy.secure_aggregation) ++result.secure_jobs;
    if (const auto says = bindings.stalemate_of(job, summary)) stuck.emplace(summary.job, *says);
  };
  if (view.detail) look_at(view.detail->summary);
  for (const auto& [job, summary] : view.others) look_at(summary);
  if (!stuck.empty()) result.stalemate = stuck.begin()->second;
  if (!result.interrupted) COVEY_TRY_VOID(check_ending(*ending, request, view, stuck, checker));
  const std::vector<Row> rows = world.rows(0);
  // Of a coordinator that is down at the end a write may have survived that nobody has looked at: as at its next start.
  const auto left = checker.on_rows([&rows](const std::string& key) -> std::optional<Bytes> {
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& one) { return one.key == key; });
    return row == rows.end() ? std::nullopt : std::optional(row->value);
  });
  if (left) return unexpected(ErrorCode::kInternal, *left);
  if (const auto finding = checker.chains_at_end(rows, sim_record_key(request.seed).public_key()))
    return unexpected(ErrorCode::kInternal, *finding);
  if (view.detail) result.detail = *view.detail;
  result.virtual_seconds = seconds(world.elapsed());
  result.events = world.events();
  result.frames = world.frames();
  result.bytes = world.bytes();
  result.acknowledged = checker.acknowledged();
  result.opened = checker.secure().opened();
  if (world.blobs(0).has(result.detail.summary.model.id)) {
    COVEY_TRY(StoredModel model, read_model(world.blobs(0), result.detail.summary.model.id));
    result.parameters = std::move(model.parameters);
  }
  result.partials_left = world.partials(0).size();
  result.trace = world.trace_hash();
  result.timeline = world.timeline_hash();
  return result;
}

}  // namespace covey
