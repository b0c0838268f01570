#include "client/participation.h"

#include <algorithm>
#include <cmath>

#include "core/protocol/job_fit.h"
#include "core/protocol/manifest.h"

namespace covey::client {
namespace {

constexpr const char* kDeadlineTimer = "deadline";
constexpr const char* kDeliverTimer = "deliver";
constexpr const char* kFetchTimer = "fetch";
constexpr Duration kDeliverAgain = kHeartbeatInterval;  // until the update is acknowledged
constexpr Duration kFetchAgain = std::chrono::seconds(2);
constexpr std::size_t kJobsRemembered = 64;

bool is_share(double value) { return std::isfinite(value) && value >= 0 && value <= 1; }

// What is wrong with an offer that no honest coordinator makes; empty: nothing.
std::string fault_of(const RoundOffer& offer) {
  if (offer.key.job == 0 || offer.key.round == 0 || offer.key.attempt == 0)
    return "job, round and attempt count from 1";
  if (offer.kind != RoundKind::kTrain && offer.kind != RoundKind::kEvaluate)
    return "the kind of round is not known";
  if (offer.config.size == 0 || offer.config.size > kJobTomlBytesMax)
    return "a configuration of " + std::to_string(offer.config.size) + " bytes: must lie in [1, " +
           std::to_string(kJobTomlBytesMax) + "]";
  if (offer.model.size == 0 || offer.model.size > kSmallBlobBytes)
    return "a model manifest of " + std::to_string(offer.model.size) + " bytes: must lie in [1, " +
           std::to_string(kSmallBlobBytes) + "]";
  if (offer.deadline <= Duration::zero()) return "the deadline has passed";
  if (!is_share(offer.progress_begin) || !is_share(offer.progress_end) ||
      offer.progress_begin > offer.progress_end)
    return "progress must rise within [0, 1]";
  return {};
}

}  // namespace

Participation::Participation(const ClientConfig& config, ClientOutbox& out, const Presence& presence,
                             const Vouched& vouched)
    : config_(config),
      out_(out),
      presence_(presence),
      shelf_(out),
      cache_(out),
      places_(out),
      secure_(config, out, presence, vouched, [this](const Digest& blob) { return keeps(blob); }) {}

Result<void> Participation::load(const Row& row) {
  if (UpdateShelf::holds(row)) return shelf_.load(row);
  if (row.key == ModelCache::kRow) return cache_.load(row);
  if (DataPlaces::holds(row)) return places_.load(row);
  if (row.key.starts_with(SecurePart::kTable)) return secure_.load(row);
  return {};
}

Result<void> Participation::loaded() { return secure_.loaded(); }

void Participation::start() { shelf_.publish_all(); }

void Participation::stop() {
  cancel();
  secure_.end();
}

void Participation::coordinator_restarted() { newest_.clear(); }

bool Participation::busy() const {
  return round_ && !round_->overdue && (round_->phase < Phase::kSettled || secure_.engaged_in(round_->offer.key));
}

void Participation::on(const RoundOffer& offer, Instant now) {
  if (const std::string fault = fault_of(offer); !fault.empty()) {
    ignored("RoundOffer", fields_of(offer.key, {{"reason", fault}}));
    out_.send(RoundDecline{offer.key, DeclineReason::kInternal, "round offer: " + fault});
    return;
  }
  if (is_current(offer.key) && round_->phase != Phase::kAbandoned) return repeat(offer);
  const auto newest = newest_.find(offer.key.job);
  if (newest != newest_.end() && offer.key < newest->second)
    return ignored("RoundOffer", fields_of(offer.key, {{"reason", "older than one that came before"}}));
  if (busy() && round_->offer.key.job != offer.key.job) {
    const std::string text = "busy with " + to_text(round_->offer.key);
    out_.log(LogLevel::kInfo, "round_declined", fields_of(offer.key, {{"reason", "busy"}, {"text", text}}));
    out_.send(RoundDecline{offer.key, DeclineReason::kBusy, text});
    return;
  }
  begin(offer, now);
}

// The coordinator has lost what it heard, or the offer came twice.
void Participation::repeat(const RoundOffer& offer) {
  if (offer.model != round_->offer.model || offer.config != round_->offer.config)
    return ignored("RoundOffer", fields_of(offer.key, {{"reason", "differs from the same round's before"}}));
  if (busy()) out_.add(SetTimer{kDeadlineTimer, offer.deadline});
  if (round_->said) out_.send(*round_->said);
}

void Participation::note_newest(const RoundKey& key) {
  newest_.insert_or_assign(key.job, key);
  if (newest_.size() > kJobsRemembered) newest_.erase(newest_.begin());
}

void Participation::begin(const RoundOffer& offer, Instant now) {
  cancel();
  if (!secure_.engaged_in(offer.key)) secure_.end();
  note_newest(offer.key);
  round_ = Round{};
  round_->offer = offer;
  out_.log(LogLevel::kInfo, "round_offered",
           fields_of(offer.key, {{"kind", offer.kind == RoundKind::kTrain ? "train" : "evaluate"},
                                 {"deadline_s", seconds(offer.deadline)}}));
  out_.add(SetTimer{kDeadlineTimer, offer.deadline});
  shelf_.forget_all_but(offer.key);
  if (redeliver()) return;
  if (job_ && job_->config == offer.config) return decide(now);
  fetch(offer.config);
}

// An update of this very round survived a restart: it is delivered, not made again.
bool Participation::redeliver() {
  const Delivery* stored = shelf_.find(round_->offer.key);
  if (stored == nullptr) return false;
  const auto* plain = std::get_if<UpdateReady>(stored);
  const bool trains = round_->offer.kind == RoundKind::kTrain;
  const bool fits = plain == nullptr || plain->update.has_value() == trains;
  if (std::visit([](const auto& d) { return d.model; }, *stored) != round_->offer.model.id || !fits) {
    shelf_.forget(round_->offer.key);
    return false;
  }
  deliver();
  return true;
}

void Participation::fetch(const BlobRef& blob) {
  cache_.add(blob.id);
  const Ticket ticket = out_.ticket();
  round_->fetches.emplace(ticket, blob);
  out_.add(FetchBlob{ticket, out_.coordinator().peer, blob});
}

void Participation::fetch_stalled() {
  if (!round_) return;
  for (const BlobRef& blob : std::exchange(round_->stalled, {})) fetch(blob);
}

// Takes a fetch off the list. Nothing: it is of a round that was given up.
std::optional<BlobRef> Participation::take_fetch(Ticket ticket) {
  if (!round_) return std::nullopt;
  const auto found = round_->fetches.find(ticket);
  if (found == round_->fetches.end()) return std::nullopt;
  const BlobRef blob = found->second;
  round_->fetches.erase(found);
  return blob;
}

void Participation::on(const BlobFetched& event, Instant now) {
  if (secure_.on(event, now)) return attend();
  const std::optional<BlobRef> blob = take_fetch(event.ticket);
  if (!blob) return;
  COVEY_CHECK(event.blob == *blob);
  switch (round_->phase) {
    case Phase::kConfig: return config_fetched(event, now);
    case Phase::kManifest: return manifest_fetched(event);
    case Phase::kShards:
      if (round_->fetches.empty() && round_->stalled.empty()) train();
      return;
    default: COVEY_CHECK(false);
  }
}

void Participation::on(const BlobFailed& event) {
  if (secure_.on(event)) return;
  const std::optional<BlobRef> blob = take_fetch(event.ticket);
  if (!blob) return;
  if (event.error.code == ErrorCode::kUnavailable) {  // the deadline bounds how often
    out_.log(LogLevel::kWarning, "fetch_retried", fields_of(round_->offer.key, event.error));
    round_->stalled.push_back(*blob);
    out_.add(SetTimer{kFetchTimer, kFetchAgain});
    return;
  }
  if (round_->phase == Phase::kConfig) {
    out_.log(LogLevel::kWarning, "fetch_failed", fields_of(round_->offer.key, event.error));
    return decline(DeclineReason::kInternal, "the job's configuration: " + told(event.error).message);
  }
  fail(in_context("the model", event.error));
}

void Participation::config_fetched(const BlobFetched& event, Instant now) {
  if (event.content.size() != event.blob.size)
    return decline(DeclineReason::kInternal, "the job's configuration did not come with its content");
  auto spec = parse_accepted_job(text_of(event.content));
  if (!spec)
    return decline(DeclineReason::kInternal, "the job's configuration: " + spec.error().message);
  job_ = KnownJob{event.blob, std::move(*spec), std::nullopt};
  decide(now);
}

void Participation::decide(Instant now) {
  if (const auto no = judge(config_.policy, config_.capability, job_->spec, now))
    return decline(no->reason, no->text);
  if (job_->data) return accept();
  round_->phase = Phase::kData;
  round_->work = out_.ticket();
  out_.add(StartWork{round_->work, PrepareData{job_->spec}});
}

void Participation::accept() {
  if (job_->spec.privacy.secure_aggregation && !secure_.engaged_in(round_->offer.key))
    if (const auto no = secure_.begin(round_->offer, job_->spec)) return decline(no->reason, no->text);
  out_.log(LogLevel::kInfo, "round_accepted",
           fields_of(round_->offer.key, {{"examples", job_->data->train_examples},
                                         {"holdout", job_->data->holdout_examples}}));
  say(RoundAccept{round_->offer.key});
  round_->phase = Phase::kManifest;
  fetch(round_->offer.model);
}

void Participation::manifest_fetched(const BlobFetched& event) {
  auto manifest = decode_manifest(event.content);
  if (!manifest) return fail(in_context("the model's manifest", manifest.error()));
  if (manifest->spec != job_->spec.model)
    return fail({ErrorCode::kInvalidMessage, "the offered model is not the one that the job describes"});
  const std::set<BlobRef> shards(manifest->shards.begin(), manifest->shards.end());
  round_->blobs = {round_->offer.config.id, round_->offer.model.id};
  for (const BlobRef& shard : shards) round_->blobs.insert(shard.id);
  cache_.keep_only(round_->blobs);
  round_->phase = Phase::kShards;
  for (const BlobRef& shard : shards) fetch(shard);
}

void Participation::train() {
  round_->phase = Phase::kTraining;
  round_->work = out_.ticket();
  shelf_.training_began();
  out_.log(LogLevel::kInfo, "training_started", fields_of(round_->offer.key));
  out_.add(StartWork{round_->work, Train{job_->spec, round_->offer, places_.begin_of(round_->offer.key, round_->offer.config.id)}});
}

void Participation::on(const Persisted& event) {
  if (secure_.on(event)) return attend();
  if (shelf_.on(event)) return;
  if (!round_ || round_->phase != Phase::kSaving || event.ticket != round_->work) return;
  round_->work = 0;
  drop_plain();
  shelf_.publish(round_->offer.key);
  deliver();
}

void Participation::deliver() {
  round_->phase = Phase::kDelivering;
  out_.add(SetTimer{kDeliverTimer, kDeliverAgain});
  std::visit([this](const auto& delivery) { say(delivery); }, *shelf_.find(round_->offer.key));
}

bool Participation::on_timer(std::string_view name, bool joined) {
  if (name == kFetchTimer) {
    fetch_stalled();
  } else if (name == kDeadlineTimer) {
    deadline_passed();
  } else if (name == kDeliverTimer) {
    if (!round_ || round_->phase != Phase::kDelivering) return true;
    out_.add(SetTimer{kDeliverTimer, kDeliverAgain});
    if (joined) out_.send(*round_->said);
  } else {
    return secure_.on_timer(name);
  }
  return true;
}

// The coordinator has closed the round by now and counts on nothing. A finished update is cheap to
// offer until it is answered; unfinished work is given up.
void Participation::deadline_passed() {
  if (!busy()) return;
  if (round_->phase == Phase::kSaving || round_->phase == Phase::kDelivering || round_->phase == Phase::kSettled) {
    round_->overdue = true;
    return;
  }
  out_.log(LogLevel::kWarning, "round_given_up", fields_of(round_->offer.key, {{"reason", "deadline"}}));
  cancel();
  round_->phase = Phase::kAbandoned;
  round_->overdue = true;  // a vote to abort may still be asked for, but it keeps no other job waiting
}

void Participation::on(const UpdateAccepted& message) {
  if (is_current(message.key) && round_->phase == Phase::kDelivering) {
    out_.log(LogLevel::kInfo, "update_accepted", fields_of(message.key));
    settle();
    if (secure_.engaged_in(message.key)) secure_.delivered();
  } else if (shelf_.find(message.key) == nullptr || is_current(message.key)) {
    return ignored("UpdateAccepted", fields_of(message.key));
  }
  shelf_.forget(message.key);
}

void Participation::on(const UpdateRefused& message) {
  if (is_current(message.key) && round_->phase == Phase::kDelivering) {
    out_.log(LogLevel::kWarning, "update_refused", fields_of(message.key, message.error));
    settle();
    round_->said = RoundFailed{message.key, bounded(message.error)};
  } else if (shelf_.find(message.key) == nullptr || is_current(message.key)) {
    return ignored("UpdateRefused", fields_of(message.key));
  }
  shelf_.forget(message.key);
}

void Participation::on(const RoundClosed& message) {
  if (is_current(message.key)) {
    out_.log(LogLevel::kInfo, "round_closed",
             fields_of(message.key, {{"committed", message.committed}, {"text", message.text}}));
    settle();
    if (secure_.engaged_in(message.key)) out_.add(CancelTimer{kDeadlineTimer});
    secure_.end();
    round_->said.reset();
  } else if (shelf_.find(message.key) == nullptr) {
    return ignored("RoundClosed", fields_of(message.key));
  }
  shelf_.forget(message.key);
}

void Participation::say(Message message) {
  round_->said = message;
  if (presence_.joined()) out_.send(std::move(message));  // else when joined, or asked
}

void Participation::decline(DeclineReason reason, const std::string& text) {
  out_.log(LogLevel::kInfo, "round_declined",
           fields_of(round_->offer.key, {{"reason", name_of(reason)}, {"text", text}}));
  settle();
  secure_.end();
  say(RoundDecline{round_->offer.key, reason, bounded_text(text)});
}

void Participation::fail(const Error& error) {
  out_.log(LogLevel::kWarning, "round_failed", fields_of(round_->offer.key, error));
  settle();
  round_->overdue = true;  // its vote may still be asked for, but it keeps nobody waiting
  say(RoundFailed{round_->offer.key, told(error)});
}

void Participation::settle() {
  cancel();
  round_->phase = Phase::kSettled;
}

void Participation::cancel() {
  if (!round_ || round_->phase >= Phase::kSettled) return;
  for (const auto& [ticket, blob] : round_->fetches) out_.add(CancelFetch{ticket});
  const bool works = round_->phase == Phase::kData || round_->phase == Phase::kTraining || round_->phase == Phase::kMasking;
  if (works && round_->work != 0) out_.add(CancelWork{round_->work});
  if (round_->phase == Phase::kTraining) shelf_.training_ended();
  drop_plain();
  round_->fetches.clear();
  round_->stalled.clear();
  round_->work = 0;
  // A delivered update is not the end of a secure round, which keeps this client busy until its deadline.
  if (!secure_.engaged_in(round_->offer.key)) out_.add(CancelTimer{kDeadlineTimer});
  for (const char* timer : {kDeliverTimer, kFetchTimer}) out_.add(CancelTimer{timer});
}

void Participation::ignored(const char* what, std::vector<LogField> fields) {
  fields.insert(fields.begin(), {"message", what});
  out_.log(LogLevel::kDebug, "event_ignored", std::move(fields));
}

}  // namespace covey::client
