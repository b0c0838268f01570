#include "coordinator/coordinator.h"

#include <algorithm>

#include "coordinator/job_floor.h"
#include "coordinator/operator_desk.h"
#include "coordinator/turns.h"
#include "core/protocol/limits.h"
#include "core/protocol/records.h"
#include "privacy/secagg_cohort.h"

namespace covey {
namespace {

constexpr const char* kTick = "tick";
constexpr const char* kPausedText = "paused: the coordinator was started with --paused, and runs no job before it is started without";

}  // namespace

class Coordinator::State {
 public:
  explicit State(CoordinatorConfig config)
      : config_(std::move(config)),
        blobs_(out_),
        records_(out_, config_.record_key),
        registry_({config_.authority, config_.nodes_max, config_.protocol}, out_, journal_, records_),
        keys_({config_.authority, config_.record_key ? config_.record_key->public_key() : VerifyKey{}, config_.keys}, out_, journal_, records_, registry_),
        own_work_(config_.public_work == nullptr ? std::make_unique<PublicWork>() : nullptr),
        services_{out_, registry_, journal_, records_, blobs_, config_.memory_bytes_max, config_.job_caps, load_, *config_.random,
                  own_work_ ? *own_work_ : *config_.public_work, config_.authority},
        desk_(services_, jobs_, keys_) {}

  Result<void> load(const Row& row);
  Result<void> assemble();
  Result<void> check_loaded() const;
  Commands handle(const Event& event, Instant now);

 private:
  Result<void> load_job(const std::vector<std::string_view>& parts, ByteSpan value);
  Result<void> load_metric(const std::vector<std::string_view>& parts, ByteSpan value);
  Result<void> load_attempt(const std::vector<std::string_view>& parts, ByteSpan value);
  Result<JobRunner*> runner_of(std::string_view part);

  void on(const Started& event, Instant now);
  void on(const Received& event, Instant now);
  void on(const TimerFired& event, Instant now);
  void on(const Persisted& event, Instant now);
  void on(const BlobFetched& event, Instant now);
  void on(const BlobFailed& event, Instant now);
  void on(const WorkDone& event, Instant now);
  void on(const WorkFailed& event, Instant now);
  void on(const ShutdownRequested& event, Instant now);

  // Messages that only a joined node may send.
  template <class M>
  void from_node(const Link& from, const M& message, Instant now);
  void in_job(Node& node, const RoundAccept& message, Instant now);
  void in_job(Node& node, const RoundDecline& message, Instant now);
  void in_job(Node& node, const RoundFailed& message, Instant now);
  void in_job(Node& node, const UpdateReady& message, Instant now);
  void in_job(Node& node, const MaskedReady& message, Instant now);
  void in_job(Node& node, const SecAggNote& message, Instant now);
  void in_job(Node& node, const SecAggLetter& message, Instant now);

  void tell_news(Instant now);
  void take_parts();
  void begin_jobs(Instant now);
  void open_rounds(Instant now);
  std::uint32_t share_of(const JobRunner& job, Instant now);
  template <class Visit>
  void any_job(Visit visit) {  // until one says that the event was its own
    for (auto& [id, job] : jobs_)
      if (visit(*job)) return;
  }
  template <class Visit>
  void each_active(Visit visit) {  // none while jobs are paused
    if (config_.jobs_paused) return;
    for (auto& [id, job] : jobs_)
      if (job->job().summary.state == JobState::kRunning) visit(*job);
  }

  CoordinatorConfig config_;
  Outbox out_;
  BlobKeeper blobs_;
  Load load_;
  Journal journal_;
  RecordBook records_;
  Registry registry_;
  KeyKeeper keys_;
  std::unique_ptr<PublicWork> own_work_;  // none where the configuration gives one
  Services services_;
  Jobs jobs_;
  OperatorDesk desk_;
};

// ---- rows

Result<JobRunner*> Coordinator::State::runner_of(std::string_view part) {
  COVEY_TRY(const JobId id, number_in_key(part));
  const auto at = jobs_.find(id);
  if (at == jobs_.end()) return unexpected(ErrorCode::kCorrupted, "it belongs to no job");
  return at->second.get();
}

Result<void> Coordinator::State::load_job(const std::vector<std::string_view>& parts, ByteSpan value) {
  COVEY_TRY(const JobId id, number_in_key(parts[1]));
  if (parts[2] == "spec") {
    COVEY_TRY(JobSpecRow row, decode_job_spec_row(value));
    COVEY_TRY(Job job, make_job(id, std::move(row)));
    desk_.know(job);
    jobs_[id] = std::make_unique<JobRunner>(services_, std::move(job));
    return {};
  }
  if (parts[2] != "state") return unexpected(ErrorCode::kCorrupted, "no table has such a key");
  COVEY_TRY(JobRunner * runner, runner_of(parts[1]));
  COVEY_TRY(runner->loading().summary, decode_job_summary(value));
  return {};
}

Result<void> Coordinator::State::load_metric(const std::vector<std::string_view>& parts, ByteSpan value) {
  COVEY_TRY(JobRunner * runner, runner_of(parts[1]));
  COVEY_TRY(const std::uint32_t round, small_number_in_key(parts[2]));
  if (parts.size() == 3) return load_metrics(runner->loading(), value);
  COVEY_TRY(const PeerKey peer, fixed_from_hex<PeerKey>(parts[3]));
  return load_client_metrics(runner->loading(), round, peer, value);
}

Result<void> Coordinator::State::load_attempt(const std::vector<std::string_view>& parts, ByteSpan value) {
  COVEY_TRY(JobRunner * runner, runner_of(parts[1]));
  RoundKey key{runner->job().id, 0, 0};
  COVEY_TRY(key.round, small_number_in_key(parts[2]));
  COVEY_TRY(key.attempt, small_number_in_key(parts[3]));
  if (parts[0] == "round") return runner->load_round(key, value);
  if (parts[0] == "mask") return runner->load_mask(key, value);
  if (parts[0] == "phase") return runner->load_phase(key, value);
  if (parts[0] == "outcome") return runner->load_outcome(key, value);
  COVEY_TRY(const PeerKey peer, fixed_from_hex<PeerKey>(parts[4]));
  if (parts[0] == "vote") return runner->load_vote(key, peer, value);
  if (parts[0] == "unmask") return runner->load_unmask(key, peer, value);
  return runner->load_update(key, peer, value);
}

Result<void> Coordinator::State::load(const Row& row) {
  const std::vector<std::string_view> parts = key_parts(row.key);
  const auto is = [&](std::string_view table, std::size_t count) { return parts[0] == table && parts.size() == count; };
  if (is("journal", 2)) return journal_.load(row.value);
  if (is("audit", 2) || is("ledger", 2)) {
    COVEY_TRY(const std::uint64_t sequence, number_in_key(parts[1]));
    return parts[0] == "audit" ? records_.load_audit(sequence, row.value) : records_.load_ledger(sequence, row.value);
  }
  if (row.key == kEpochRow) return records_.load_epoch(row.value);
  if (is("renewal", 2)) {
    COVEY_TRY(const PeerKey peer, fixed_from_hex<PeerKey>(parts[1]));
    return registry_.load_renewal(peer, row.value);
  }
  if (row.key == kJobFloorRow) return desk_.load_floor(row.value);
  if (row.key == kWithdrawalsRow) return registry_.load_withdrawals(row.value);
  if (row.key == kKeyChangeRow) return keys_.load(row.value);
  if (row.key == kKeyServedRow) return keys_.load_served(row.value);
  if (is("credential", 2)) {
    COVEY_TRY(const PeerKey peer, fixed_from_hex<PeerKey>(parts[1]));
    return registry_.load_credential(peer, row.value);
  }
  if (is("token", 2)) return registry_.load_token(row.value);
  if (is("cert", 2) || is("node", 2)) {
    COVEY_TRY(const PeerKey peer, fixed_from_hex<PeerKey>(parts[1]));
    return parts[0] == "cert" ? registry_.load_certificate(peer, row.value) : registry_.load_node(peer, row.value);
  }
  if (is("job", 3)) return load_job(parts, row.value);
  if (is("metric", 3) || is("metric", 4)) return load_metric(parts, row.value);
  if (is("spared", 2)) {
    COVEY_TRY(JobRunner * runner, runner_of(parts[1]));
    return runner->load_spared(row.value);
  }
  const bool of_attempt = is("round", 4) || is("mask", 4) || is("outcome", 4) || is("phase", 4);
  if (of_attempt || is("update", 5) || is("unmask", 5) || is("vote", 5)) return load_attempt(parts, row.value);
  if (is("liar", 3) || is("rest", 3)) {
    COVEY_TRY(JobRunner * runner, runner_of(parts[1]));
    COVEY_TRY(const PeerKey peer, fixed_from_hex<PeerKey>(parts[2]));
    return parts[0] == "liar" ? runner->load_liar(peer, row.value) : runner->load_rest(peer, row.value);
  }
  if (is("suspicion", 2)) {
    COVEY_TRY(JobRunner * runner, runner_of(parts[1]));
    return runner->load_suspicion(row.value);
  }
  if (is("model", 3)) {
    COVEY_TRY(JobRunner * runner, runner_of(parts[1]));
    COVEY_TRY(const std::uint32_t version, small_number_in_key(parts[2]));
    return load_model(runner->loading(), version, row.value);
  }
  return unexpected(ErrorCode::kCorrupted, "no table has such a key; is this a coordinator's store of this version?");
}

Result<void> Coordinator::State::assemble() {
  for (const auto& [id, job] : jobs_) COVEY_TRY_VOID(job->assemble());
  return {};
}

Result<void> Coordinator::State::check_loaded() const {
  COVEY_TRY_VOID(records_.check_loaded());
  COVEY_TRY_VOID(registry_.check_loaded());
  COVEY_TRY_VOID(keys_.check_loaded());
  for (const auto& [id, job] : jobs_) COVEY_TRY_VOID(job->check_loaded());
  return {};
}

// ---- events

Commands Coordinator::State::handle(const Event& event, Instant now) {
  std::visit([&](const auto& happened) { on(happened, now); }, event);
  tell_news(now);
  open_rounds(now);
  begin_jobs(now);
  return out_.take();
}

void Coordinator::State::on(const Started&, Instant now) {
  // Who is a member and what is published is durable: nobody is turned away while this start's
  // epoch is on its way to the disk. Everything else waits for that.
  registry_.start(now);
  for (auto& [id, job] : jobs_) job->publish();
  records_.start(now);
  for (const Certificate& certificate : config_.operators) registry_.enrol_given(certificate, now);
  for (const Renewal& renewal : config_.renewals) registry_.renew_given(renewal, now);
  keys_.start(now);
  for (auto& [id, job] : jobs_) config_.jobs_paused ? job->pause(now) : job->start(now);
  if (!config_.jobs_paused) take_parts();
  if (config_.jobs_paused) out_.log(LogLevel::kWarning, "jobs_paused", {{"reason", kPausedText}});
  out_.now(SetTimer{kTick, kHeartbeatInterval});
  out_.log(LogLevel::kInfo, "machine_started", {{"nodes", registry_.nodes().size()}, {"jobs", jobs_.size()}, {"epoch", records_.epoch()}});
}

// Each part to the first job that may be sent it; what none takes is erased.
void Coordinator::State::take_parts() {
  std::vector<BlobRef> parts = std::exchange(config_.partials, {});
  each_active([&](JobRunner& job) { parts = job.take_parts(std::move(parts)); });
  for (const BlobRef& part : parts) out_.now(EraseBlob{part.id});  // before anything can be fetched again
}

void Coordinator::State::on(const Persisted& event, Instant now) {
  out_.persisted(event.ticket);
  each_active([&](JobRunner& job) { job.persisted(now); });
}

void Coordinator::State::on(const Received& event, Instant now) {
  const Link& from = event.from;
  std::visit(
      [&](const auto& message) {
        using M = std::decay_t<decltype(message)>;
        if constexpr (std::is_same_v<M, Enrol>) registry_.enrol(from, message, now);
        if constexpr (std::is_same_v<M, Join>) registry_.join(from, message, now);
        if constexpr (std::is_same_v<M, Heartbeat>) registry_.heartbeat(from, message, now);
        if constexpr (std::is_same_v<M, Leave>) registry_.leave(from, now);
        if constexpr (std::is_same_v<M, OperatorRequest>) desk_.request(from, message, now);
        if constexpr (std::is_same_v<M, RoundAccept> || std::is_same_v<M, RoundDecline> ||
                      std::is_same_v<M, RoundFailed> || std::is_same_v<M, UpdateReady> || std::is_same_v<M, MaskedReady> ||
                      std::is_same_v<M, SecAggNote> || std::is_same_v<M, SecAggLetter>)
          from_node(from, message, now);
        // Anything else is a coordinator's own to send: ignored.
      },
      event.message);
}

template <class M>
void Coordinator::State::from_node(const Link& from, const M& message, Instant now) {
  Node* node = registry_.find(from.peer);
  if (node == nullptr) return;
  if (!node->link || *node->link != from) return out_.say(from, RejoinRequired{});
  node->heard = now;
  const auto job = jobs_.find(message.key.job);
  if (config_.jobs_paused && job != jobs_.end() && job->second->job().active()) return;  // it is said again
  in_job(*node, message, now);
}

void Coordinator::State::in_job(Node& node, const RoundAccept& message, Instant now) {
  const auto at = jobs_.find(message.key.job);
  if (at != jobs_.end()) at->second->round_accepted(node, message, now);
}

void Coordinator::State::in_job(Node& node, const RoundDecline& message, Instant now) {
  const auto at = jobs_.find(message.key.job);
  if (at != jobs_.end()) at->second->round_declined(node, message, now);
}

void Coordinator::State::in_job(Node& node, const RoundFailed& message, Instant now) {
  const auto at = jobs_.find(message.key.job);
  if (at != jobs_.end()) at->second->round_failed(node, message, now);
}

void Coordinator::State::in_job(Node& node, const UpdateReady& message, Instant now) {
  const auto at = jobs_.find(message.key.job);
  if (at != jobs_.end()) return at->second->update_ready(node, message, now);
  out_.send(*node.link, UpdateRefused{message.key, Error{ErrorCode::kUnavailable,
                                                         "there is no job " + std::to_string(message.key.job)}});
}

void Coordinator::State::in_job(Node& node, const MaskedReady& message, Instant now) {
  const auto at = jobs_.find(message.key.job);
  if (at != jobs_.end()) return at->second->masked_ready(node, message, now);
  out_.send(*node.link, UpdateRefused{message.key, Error{ErrorCode::kUnavailable,
                                                         "there is no job " + std::to_string(message.key.job)}});
}

void Coordinator::State::in_job(Node& node, const SecAggNote& message, Instant now) {
  const auto at = jobs_.find(message.key.job);
  if (at != jobs_.end()) at->second->secagg_note(node, message, now);
}

void Coordinator::State::in_job(Node& node, const SecAggLetter& message, Instant now) {
  const auto at = jobs_.find(message.key.job);
  if (at != jobs_.end()) at->second->secagg_letter(node, message, now);
}

void Coordinator::State::on(const TimerFired& event, Instant now) {
  if (event.name == kTick) {
    registry_.tick(now);
    keys_.tick(now);
    tell_news(now);
    each_active([&](JobRunner& job) { job.tick(now); });
    out_.now(SetTimer{kTick, kHeartbeatInterval});
    return;
  }
  if (registry_.timer_fired(event.name, now)) return;
  any_job([&](JobRunner& job) { return job.timer_fired(event.name, now); });
}

void Coordinator::State::on(const BlobFetched& event, Instant now) {
  if (desk_.blob_fetched(event, now)) return;
  any_job([&](JobRunner& job) { return job.blob_fetched(event, now); });
}

void Coordinator::State::on(const BlobFailed& event, Instant now) {
  if (desk_.blob_failed(event)) return;
  any_job([&](JobRunner& job) { return job.blob_failed(event, now); });
}

void Coordinator::State::on(const WorkDone& event, Instant now) {
  if (desk_.work_done(event, now) || keys_.work_done(event, now)) return;
  any_job([&](JobRunner& job) { return job.work_done(event, now); });
}

void Coordinator::State::on(const WorkFailed& event, Instant now) {
  if (desk_.work_failed(event) || keys_.work_failed(event)) return;
  any_job([&](JobRunner& job) { return job.work_failed(event, now); });
}

void Coordinator::State::on(const ShutdownRequested&, Instant) {
  // Clients notice by themselves and come back; what is durable is taken up at the next start.
  out_.log(LogLevel::kInfo, "coordinator_stopped", {});
  out_.after(Halt{0, "stopped"});
}

void Coordinator::State::tell_news(Instant now) {
  const RegistryNews news = registry_.take_news();
  for (const PeerKey& peer : news.revoked) each_active([&](JobRunner& job) { job.node_revoked(peer, now); });
  for (const PeerKey& peer : news.left) each_active([&](JobRunner& job) { job.node_left(peer, now); });
  for (const PeerKey& peer : news.lost) each_active([&](JobRunner& job) { job.node_lost(peer, now); });
  for (const PeerKey& peer : news.relinked) each_active([&](JobRunner& job) { job.node_relinked(peer, now); });
  for (const auto* told : {&news.relinked, &news.joined})
    for (const PeerKey& peer : *told) keys_.tell(peer);
  for (const PeerKey& peer : news.joined) each_active([&](JobRunner& job) { job.node_joined(peer, now); });
}

void Coordinator::State::begin_jobs(Instant now) {
  if (config_.jobs_paused) {
    for (auto& [id, job] : jobs_)
      if (job->job().active()) job->wait(kPausedText);
    return;
  }
  std::uint32_t running = 0;
  std::uint64_t taken = 0;  // bytes
  each_active([&](JobRunner& job) {
    ++running;
    taken += memory_bytes_of(job.job().spec);
  });
  for (auto& [id, job] : jobs_) {
    load_.running = std::max(1U, running);
    if (running >= config_.jobs_running_max) return;
    if (job->job().summary.state != JobState::kPending) continue;
    const std::uint64_t bytes = memory_bytes_of(job->job().spec);
    if (taken != 0 && bytes > config_.memory_bytes_max - std::min(taken, config_.memory_bytes_max))
      return job->wait("waiting for memory: its sum takes " + std::to_string(bytes >> 20) + " MiB, running jobs hold " +
                       std::to_string(taken >> 20) + " of " + std::to_string(config_.memory_bytes_max >> 20));
    job->begin(now);
    if (job->job().summary.state != JobState::kRunning) continue;
    taken += bytes;
    load_.running = ++running;
  }
}

// Jobs that want a round are served in the order of their waiting. One that lacks only nodes that work for
// others is left those that become free, by each of the others for as long as its own round may take: so
// nobody waits for ever, neither for jobs with shorter rounds nor for one that needs many nodes.
void Coordinator::State::open_rounds(Instant now) {
  if (!std::exchange(load_.turn_due, false)) return;
  std::vector<JobRunner*> waiting;
  each_active([&](JobRunner& job) {
    if (job.waits()) waiting.push_back(&job);
  });
  std::sort(waiting.begin(), waiting.end(),
            [](const JobRunner* a, const JobRunner* b) { return a->waits()->order < b->waits()->order; });
  const JobRunner* starved = nullptr;
  for (JobRunner* job : waiting) {
    if (starved != nullptr && now - job->waits()->since < job->gives_way_for()) {
      job->give_way(*starved);
      continue;
    }
    if (job->take_turn(now, share_of(*job, now)) == Turn::kStarved && starved == nullptr) starved = job;
  }
}

// Of all nodes as if all were free: whoever is asked too many now gives them back when its round closes.
std::uint32_t Coordinator::State::share_of(const JobRunner& job, Instant now) {
  std::vector<std::uint32_t> others;
  each_active([&](JobRunner& other) {
    if (const std::uint32_t asks = &other == &job ? 0 : other.demand(now); asks > 0) others.push_back(asks);
  });
  return others.empty() ? ~std::uint32_t{0} : fair_share(job.there(now), std::move(others));
}

// ---- Coordinator

Result<std::unique_ptr<Coordinator>> Coordinator::create(CoordinatorConfig config, const std::vector<Row>& rows) {
  auto state = std::make_unique<State>(std::move(config));
  for (const Row& row : rows) {
    const auto loaded = state->load(row);
    if (!loaded) return unexpected(ErrorCode::kCorrupted, "row " + row.key + ": " + loaded.error().message);
  }
  COVEY_TRY_VOID(state->assemble());
  COVEY_TRY_VOID(state->check_loaded());
  return std::unique_ptr<Coordinator>(new Coordinator(std::move(state)));
}

Coordinator::Coordinator(std::unique_ptr<State> state) : state_(std::move(state)) {}
Coordinator::~Coordinator() = default;

Commands Coordinator::handle(const Event& event, Instant now) { return state_->handle(event, now); }

}  // namespace covey
