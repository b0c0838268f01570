#include "coordinator/job_runner.h"

#include "core/crypto/digest.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"
#include "core/protocol/records.h"

namespace covey {
namespace {

constexpr Duration kModelRetry = std::chrono::seconds(10);

}  // namespace

JobRunner::JobRunner(Services services, Job job)
    : services_(services), job_(std::move(job)), planner_(job_.spec) {}

std::string JobRunner::timer(const char* what) const { return "job/" + std::to_string(job_.id) + "/" + what; }

JobSummary JobRunner::summary() const {
  JobSummary summary = job_.summary;
  if (round_) {
    summary.cohort = static_cast<std::uint32_t>(round_->members.size());
    summary.delivered = round_->tally().delivered;
  }
  summary.secure = secure();
  const auto aborting = aborted_.find(aborting_);
  if (const SecureAttempt* shown = secure_ ? secure_.get() : aborting != aborted_.end() ? aborting->second.get() : nullptr) {
    summary.phase = shown->phase_name();
    summary.members = shown->members();
    summary.maskers = shown->maskers();
    summary.survivors = shown->survivors();
  }
  return summary;
}

// ---- rows

Result<void> JobRunner::load_round(const RoundKey& key, ByteSpan value) {
  if (round_) return unexpected(ErrorCode::kCorrupted, "a job has two rounds in progress");
  Round round;
  round.key = key;
  COVEY_TRY(round.row, decode_round_row(value));
  round.frozen = round.row.frozen();
  for (const PeerKey& peer : round.row.cohort) round.members[peer] = Member{};
  for (const PeerKey& peer : round.row.survivors)
    if (!round.members.contains(peer)) return unexpected(ErrorCode::kCorrupted, "a survivor outside the cohort");
  round_ = std::move(round);
  return {};
}

Result<void> JobRunner::load_update(const RoundKey& key, const PeerKey& peer, ByteSpan value) {
  COVEY_TRY(UpdateRow row, decode_update_row(value));
  if (!round_ || round_->key != key || !round_->members.contains(peer))
    return unexpected(ErrorCode::kCorrupted, "an update of no round in progress");
  Member& member = round_->members.at(peer);
  member.state = MemberState::kDelivered;
  member.norm = row.norm;
  member.update = std::move(row.update);
  member.note = std::move(row.note);
  return {};
}

Result<void> JobRunner::check_loaded() const {
  COVEY_TRY_VOID(covey::check_loaded(job_));
  if (!round_) return {};
  if (job_.summary.state != JobState::kRunning || job_.models.empty() ||
      round_->key.round != job_.next_round() || round_->row.model != job_.summary.model)
    return unexpected(ErrorCode::kCorrupted, "row " + round_key(round_->key) + ": it does not follow from its job's state");
  return check_frozen();
}

void JobRunner::publish() {
  if (!job_.models.empty()) {
    services_.blobs.hold(job_.config.id);
    services_.blobs.show(job_.config.id);
  }
  for (const auto& [version, model] : job_.models) {
    hold_model(model);
    if (version + 1 >= job_.models.rbegin()->first) show_model(model);
  }
}

void JobRunner::start(Instant now) {
  resume_aborts(now);
  if (job_.summary.state != JobState::kRunning) return;
  rest_again(now);
  if (const auto fits = check_memory(job_.spec, services_.memory_bytes_max); !fits)
    return end(JobState::kFailed, now, fits.error().message);
  if (job_.models.empty()) return make_model(now);
  if (!round_) return open_round(now);
  if (sums()) return abandon(now, "the coordinator was restarted, and durability = \"attempt\" keeps no update", Duration{}, Fault::kRestart);
  if (secure() && !secure_) return abandon(now, "the coordinator was restarted before anyone was told to mask", Duration{}, Fault::kRestart);
  round_->row.started = credible_start(round_->row.started, job_.spec.round.deadline, now);
  if (round_->frozen) return resume_frozen(now);
  Batch stale;
  for (auto& [peer, member] : round_->members) {
    if (member.state == MemberState::kDelivered && member.update.update) {
      services_.blobs.hold(member.update.update->id);
      member.holds_blob = true;
    }
    Node* node = services_.registry.find(peer);
    if (node == nullptr) {  // we crashed between its revocation and the removal of its update
      if (member.state == MemberState::kDelivered) stale.erase(update_key(round_->key, peer));
      release(member);
      member.state = MemberState::kRevoked;
    } else if (member.state != MemberState::kDelivered || secure_) {
      if (node->engaged == 0) node->engaged = job_.id;
    }
  }
  services_.out.persist(std::move(stale));
  // From the order to mask on, time passes over restarts: else a member that never delivers could hold a round of a
  // coordinator that is restarted often for ever. Plain updates wait their whole deadline again (docs/durable_state.md).
  const Duration time = secure_ ? secure_->time_for(job_.spec.round.deadline) : job_.spec.round.deadline;
  round_->deadline = now + time;
  services_.out.now(SetTimer{timer("deadline"), time});
  if (secure_) {
    round_->progressed = now;
    secure_->lasts(time, now);
    keep_time();
  }
  services_.out.now(SetTimer{timer("return"), kLinkTimeout});
  services_.out.log(LogLevel::kInfo, "round_resumed",
                    {{"job", job_.id}, {"round", round_->key.round}, {"attempt", round_->key.attempt},
                     {"delivered", round_->tally().delivered}, {"cohort", round_->members.size()}});
  consider(now);
}

// An operator may stop it all the same: then its updates are let go.
void JobRunner::pause(Instant now) {
  if (job_.summary.state != JobState::kRunning) return start(now);
  if (!round_) return;
  for (auto& [peer, member] : round_->members) {
    if (member.state != MemberState::kDelivered || !member.update.update) continue;
    services_.blobs.hold(member.update.update->id);
    member.holds_blob = true;
  }
}

// ---- before the first round

AuditEntry JobRunner::act(AuditKind kind, Instant now) const {
  AuditEntry entry;
  entry.kind = kind;
  entry.time = now;
  entry.round = round_ ? round_->key : RoundKey{job_.id, 0, 0};
  return entry;
}

void JobRunner::submit(Instant now) {
  job_.summary.submitted = now;
  Batch batch;
  batch.put(job_spec_key(job_.id), encode(job_.row));
  put_state(job_, batch);
  services_.journal.write(batch, now, job_.id, "submitted by " + services_.registry.name_of(job_.row.submitter));
  AuditEntry submitted = act(AuditKind::kJobSubmitted, now);
  submitted.actor = job_.row.submitter;
  submitted.subject = sha256(bytes_of(job_.row.toml));
  submitted.text = job_.spec.name;
  services_.records.persist(std::move(batch), {std::move(submitted)});
  services_.out.log(LogLevel::kInfo, "job_submitted",
                    {{"job", job_.id}, {"name", job_.spec.name}, {"rounds", job_.spec.rounds},
                     {"submitter", services_.registry.name_of(job_.row.submitter)}});
}

void JobRunner::begin(Instant now) {
  COVEY_CHECK(job_.summary.state == JobState::kPending);
  if (const auto fits = check_memory(job_.spec, services_.memory_bytes_max); !fits)
    return end(JobState::kFailed, now, fits.error().message);  // it was submitted to a larger coordinator
  if (const auto fits = check_caps(job_.spec, services_.job_caps); !fits) return end(JobState::kFailed, now, fits.error().message);
  job_.summary.text.clear();
  job_.summary.state = JobState::kRunning;
  Batch batch;
  put_state(job_, batch);
  services_.journal.write(batch, now, job_.id, "started");
  services_.out.persist(std::move(batch));
  services_.out.log(LogLevel::kInfo, "job_started", {{"job", job_.id}, {"parameters", planner_.parameters()}, {"exchanged", planner_.exchanged()}});
  make_model(now);
}

void JobRunner::wait(const std::string& text) { job_.summary.text = shortened(text, kErrorTextBytesMax); }

void JobRunner::make_model(Instant) {
  services_.blobs.making(job_.id);
  init_ = services_.out.next_ticket();
  services_.out.now(StartWork{init_, InitModel{job_.spec}});
}

namespace {

template <class Visit>
void each_blob(const ModelRow& model, Visit visit) {
  visit(model.manifest.id);
  for (const BlobRef& shard : model.shards) visit(shard.id);
  if (model.optimizer_state) visit(model.optimizer_state->id);
}

}  // namespace

void JobRunner::hold_model(const ModelRow& model) {
  each_blob(model, [&](const Digest& blob) { services_.blobs.hold(blob); });
}
void JobRunner::drop_model(const ModelRow& model) {
  each_blob(model, [&](const Digest& blob) { services_.blobs.drop(blob); });
}
void JobRunner::show_model(const ModelRow& model) {
  each_blob(model, [&](const Digest& blob) { services_.blobs.show(blob); });
}
void JobRunner::hide_model(const ModelRow& model) {
  each_blob(model, [&](const Digest& blob) { services_.blobs.hide(blob); });
}

// Memory may come back; a job that never fits must not hold its place for ever.
void JobRunner::model_failed(const Error& error, Instant now) {
  init_ = 0;
  services_.blobs.made(job_.id);
  const std::string text = "the initial model: " + error.message;
  if (error.code != ErrorCode::kResourceExhausted || ++init_failures_ >= job_.spec.round.attempts_max)
    return end(JobState::kFailed, now, text);
  job_.summary.text = shortened(text + "; it is tried again", kErrorTextBytesMax);
  services_.out.log(LogLevel::kWarning, "model_not_made",
                    {{"job", job_.id}, {"failures", init_failures_}, {"reason", error.message}});
  services_.out.now(SetTimer{timer("model"), kModelRetry});
}

void JobRunner::model_ready(const BlobFetched& event, Instant now) {
  auto manifest = decode_manifest(event.content);
  if (!manifest) return end(JobState::kFailed, now, "the initial model: " + manifest.error().message);
  ModelRow model{event.blob, std::move(manifest->shards), std::nullopt};
  hold_model(model);
  services_.blobs.hold(job_.config.id);
  services_.blobs.made(job_.id);
  job_.summary.model = model.manifest;
  Batch batch;
  batch.put(model_key(job_.id, 0), encode(model));
  put_state(job_, batch);
  services_.out.persist(std::move(batch));
  services_.blobs.show(job_.config.id);
  show_model(model);
  job_.models[0] = std::move(model);
  open_round(now);
}

// ---- what nobody wants any more

void JobRunner::let_go_work(Ticket& work) {
  if (work == 0) return;
  services_.out.now(CancelWork{work});
  unwanted_work_.insert(std::exchange(work, 0));
}

void JobRunner::let_go_fetch(Ticket& manifest, std::optional<BlobRef> optimizer_state) {
  if (manifest != 0) unwanted_models_[std::exchange(manifest, 0)] = std::move(optimizer_state);
}

bool JobRunner::let_go_done(const WorkDone& event) {
  if (unwanted_work_.erase(event.ticket) == 0) return false;
  const auto* aggregated = std::get_if<Aggregated>(&event.value);
  if (const auto* unmasked = std::get_if<Unmasked>(&event.value)) {
    if (!unmasked->aggregated) return true;  // an evaluation: nothing was made
    aggregated = &*unmasked->aggregated;
  }
  if (const auto* put = std::get_if<BlobPut>(&event.value)) {  // the same model's next manifest
    services_.blobs.hold(put->blob.id);
    services_.blobs.drop(put->blob.id);
    return true;
  }
  const auto* ready = std::get_if<ModelReady>(&event.value);
  COVEY_CHECK(aggregated != nullptr || ready != nullptr);
  const Ticket fetch = services_.out.next_ticket();
  unwanted_models_[fetch] = aggregated != nullptr ? aggregated->optimizer_state : std::nullopt;
  services_.out.now(FetchBlob{fetch, PeerKey{}, aggregated != nullptr ? aggregated->model : ready->model});
  return true;
}

// Held for a moment, so that its erasure goes the way of every other: not while someone else holds the same
// values, nor while anyone makes a model, which may come to the same.
bool JobRunner::let_go_fetched(const BlobFetched& event) {
  const auto at = unwanted_models_.find(event.ticket);
  if (at == unwanted_models_.end()) return false;
  ModelRow model{event.blob, {}, at->second};
  unwanted_models_.erase(at);
  if (auto manifest = decode_manifest(event.content)) model.shards = std::move(manifest->shards);
  hold_model(model);
  drop_model(model);
  if (!job_.models.empty()) return true;
  services_.blobs.hold(job_.config.id);  // made along with the initial model
  services_.blobs.drop(job_.config.id);
  return true;
}

// ---- the end

void JobRunner::drop_round(Batch& batch) {
  if (!round_) return;
  services_.load.turn_due = true;
  leave_attempt(batch);
  batch.erase(round_key(round_->key));
  let_go_work(round_->work);
  let_go_fetch(round_->manifest, round_->aggregated.optimizer_state);
  if (sums()) services_.out.now(StartWork{services_.out.next_ticket(), DropSum{round_->key}});
  services_.out.now(CancelTimer{timer("deadline")});
  services_.out.now(CancelTimer{timer("return")});
  for (auto& [peer, member] : round_->members) {
    if (member.state == MemberState::kDelivered) batch.erase(update_key(round_->key, peer));
    interrupt(member);
    if (Node* node = services_.registry.find(peer); node != nullptr && node->engaged == job_.id) node->engaged = 0;
  }
}

void JobRunner::end(JobState state, Instant now, const std::string& text, Batch batch, std::vector<AuditEntry> acts) {
  let_go_work(init_);
  let_go_fetch(init_manifest_, std::nullopt);
  services_.blobs.made(job_.id);
  drop_round(batch);
  services_.out.now(CancelTimer{timer("deadline")});
  services_.out.now(CancelTimer{timer("pause")});
  services_.out.now(CancelTimer{timer("model")});
  job_.summary.state = state;
  job_.summary.ended = now;
  job_.summary.attempt = 0;
  job_.summary.text = shortened(text, kErrorTextBytesMax);
  put_state(job_, batch);
  if (std::exchange(spared_, {}).attempts > 0) batch.erase(spared_key(job_.id));
  erase_rests(batch);
  services_.journal.write(batch, now, job_.id, std::string(name_of(state)) + (text.empty() ? "" : ": " + text));
  if (round_ && !round_->committed) {
    acts.push_back(act(AuditKind::kAbandoned, now));
    acts.back().text = text;
  }
  acts.push_back(act(AuditKind::kJobEnded, now));
  acts.back().round = RoundKey{job_.id, 0, 0};
  acts.back().number = static_cast<std::uint64_t>(state);
  acts.back().text = text;
  services_.records.persist(std::move(batch), std::move(acts));
  if (round_) {
    close_to_cohort(std::string("the job is ") + name_of(state));
    release_all();
    const RoundKey key = round_->key;
    round_.reset();
    seek_abort(key, now);  // its maskers take part in nothing alike before
  }
  if (aborting_.job == 0 && !aborted_.empty()) {
    Batch gone;
    drop_aborted(gone);
    services_.out.persist(std::move(gone));
  }
  not_before_.clear();
  suspicion_ = {};
  wants_.reset();
  services_.out.log(state == JobState::kFailed ? LogLevel::kError : LogLevel::kInfo,
                    state == JobState::kFinished ? "job_finished" : state == JobState::kFailed ? "job_failed" : "job_stopped",
                    {{"job", job_.id}, {"name", job_.spec.name}, {"rounds", job_.summary.round}, {"text", job_.summary.text}});
}

Result<std::string> JobRunner::stop(Instant now, const Node& by) {
  const std::string name = "job " + std::to_string(job_.id);
  if (!job_.active()) return name + " is " + name_of(job_.summary.state) + " already";
  AuditEntry stopped = act(AuditKind::kJobStopped, now);
  stopped.round = RoundKey{job_.id, 0, 0};
  stopped.actor = by.summary.key;
  end(JobState::kStopped, now, "stopped by " + by.summary.name, {}, {std::move(stopped)});
  return name + " stopped";
}

}  // namespace covey
