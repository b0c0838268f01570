// Rounds of which the coordinator sees the sum alone: phases, masked vectors, opening, aborts. The attempt
// itself is SecureAttempt's; what a round is, and when it freezes, is as in any other round.
#include <algorithm>

#include "coordinator/job_runner.h"
#include "core/crypto/digest.h"
#include "core/protocol/limits.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

using Phase = SecureAttempt::Phase;

constexpr Duration kVotesLeast = std::chrono::seconds(30), kVotesMost = std::chrono::seconds(300);
// After a COMMIT there is no other attempt with these members, so they have long.
constexpr Duration kSharesLeast = std::chrono::seconds(120);
constexpr Duration kMoreShares = std::chrono::seconds(2);      // beyond the threshold: they correct wrong ones
constexpr Duration kOpenAgain = std::chrono::seconds(5);

Error closed(const RoundKey& key) { return Error{ErrorCode::kUnavailable, to_text(key) + " closed"}; }

}  // namespace

SecureParts JobRunner::secure_parts() const {
  return {services_.out, services_.registry, services_.blobs, services_.random, services_.public_work, services_.authority};
}

SecureAttempt* JobRunner::attempt_of(const RoundKey& key) {
  if (secure_ && secure_->key() == key) return secure_.get();
  const auto at = aborted_.find(key);
  return at == aborted_.end() ? nullptr : at->second.get();
}

Result<std::unique_ptr<SecureAttempt>> JobRunner::begin_attempt(const Selection& selected) {
  if (!secure()) return std::unique_ptr<SecureAttempt>();
  const RoundKey key{job_.id, job_.next_round(), job_.summary.attempt + 1};
  const RoundKind kind = job_.evaluating() ? RoundKind::kEvaluate : RoundKind::kTrain;
  return SecureAttempt::begin(secure_parts(),
                              {key, kind, job_.config.id, job_.summary.model.id,
                               static_cast<std::uint32_t>(selected.cohort.size()),
                               ceil_share(job_.spec.round.quorum, selected.target)},
                              job_.spec);
}

bool JobRunner::sits_out(const PeerKey& peer) const {
  return std::any_of(aborted_.begin(), aborted_.end(), [&](const auto& entry) {
    return !entry.second->certificate() && entry.second->masks(peer);
  });
}

// ---- phases

Duration JobRunner::phase_time() const {
  const Duration deadline = job_.spec.round.deadline;
  switch (secure_->phase()) {
    case Phase::kUnmasking: return std::clamp<Duration>(deadline, kSharesLeast, kSharesMost);
    case Phase::kAgreeing: return std::clamp<Duration>(deadline / 2, kVotesLeast, kVotesMost);
    default: return std::clamp<Duration>(deadline / 8, kPhaseLeast, kPhaseMost);
  }
}

void JobRunner::phase_begun(Instant now) {
  if (secure_->phase() == Phase::kMasking) {
    round_->progressed = now;
    services_.out.now(CancelTimer{timer("phase")});  // the round's deadline ends it
  } else {
    const Duration time = secure_->time_for(phase_time());
    if (secure_->masking_over()) secure_->lasts(time, now);
    services_.out.now(SetTimer{timer("phase"), time});
  }
  if (secure_->phase() >= Phase::kMasking) keep_time();
  services_.out.log(LogLevel::kInfo, "secagg_phase",
                    {{"job", job_.id}, {"round", round_->key.round}, {"attempt", round_->key.attempt},
                     {"phase", secure_->phase_name()}, {"members", secure_->members()}, {"maskers", secure_->maskers()},
                     {"survivors", secure_->survivors()}});
  if (secure_->masking_over()) return;
  for (auto& [peer, member] : round_->members)
    if (!secure_->takes_part(peer)) leave_out(peer, member);
}

// Whoever was not ready when a phase ended masks nothing in this attempt. One of its roster may still have to
// vote for its ABORT, and is told of the end with the others.
void JobRunner::leave_out(const PeerKey& peer, Member& member) {
  switch (member.state) {
    case MemberState::kOffered:
    case MemberState::kWorking:
    case MemberState::kLost:
    case MemberState::kLeft: break;
    default: return;
  }
  member.state = MemberState::kFailed;
  Node* node = services_.registry.find(peer);
  if (node == nullptr || secure_->seated(peer)) return;
  if (node->engaged == job_.id) node->engaged = 0;
  if (node->link)
    services_.out.send(*node->link, RoundClosed{round_->key, false, "the attempt goes on without this client, which was not ready in time"});
}

void JobRunner::secure_moved(Instant now) {
  while (round_ && secure_ && secure_->phase() < Phase::kMasking) {
    const auto ended = secure_->advance(round_->members, false, now);
    leave_unfit(now);
    if (!ended) return abandon(now, ended.error().message, kOpenAgain);
    if (!*ended) return;
    blame_all(*secure_, now);
    phase_begun(now);
    if (secure_->phase() == Phase::kMasking) return consider(now);
  }
}

void JobRunner::phase_late(Instant now) {
  if (round_ && !round_->consumed.empty()) {
    if (round_->work == 0 && round_->manifest == 0) make_same_model();
    return;
  }
  if (!round_ || !secure_) return;
  if (secure_->phase() < Phase::kMasking) {
    rest_phase(now);
    const auto ended = secure_->advance(round_->members, true, now);
    leave_unfit(now);
    if (!ended) return abandon(now, ended.error().message, kOpenAgain);
    blame_all(*secure_, now);
    phase_begun(now);
    return consider(now);
  }
  // Once too many signed COMMIT for an ABORT, only the others' COMMIT can end it.
  if (secure_->phase() == Phase::kAgreeing && !secure_->can_abort() && now < round_->deadline + kSharesMost) {
    services_.out.now(SetTimer{timer("phase"), kVotesLeast});
    return;
  }
  if (secure_->phase() == Phase::kAgreeing) {
    rest_unheard(now);
    return give_up(now, "too few of the committee agreed on the survivors in time", Duration{});
  }
  if (secure_->phase() != Phase::kUnmasking || round_->work != 0 || round_->manifest != 0) return;
  if (secure_->can_open()) return open_sum();
  // Some are out already, and too many for an ABORT: only the others' can end it.
  if (!secure_->can_abort() && secure_->absent_may_open() && now < round_->deadline + kSharesMost) {
    services_.out.now(SetTimer{timer("phase"), kVotesLeast});
    return;
  }
  rest_unheard(now);
  give_up(now, "too few members revealed their shares in time: the sum stays closed, and its release is spent", kOpenAgain);
}

// ---- messages

void JobRunner::secagg_note(const Node& from, const SecAggNote& message, Instant now) {
  SecureAttempt* const attempt = attempt_of(message.key);
  const PeerKey peer = from.summary.key;
  if (attempt == nullptr) return;  // of an attempt that is over: nobody needs it
  const bool asked = attempt != secure_.get() || round_->members.contains(peer);
  if (!asked) {
    if (services_.registry.may_log_refusal(peer, now))
      services_.out.log(LogLevel::kWarning, "secagg_refused",
                        {{"job", job_.id}, {"round", message.key.round}, {"attempt", message.key.attempt},
                         {"node", from.summary.name}, {"phase", attempt->phase_name()},
                         {"reason", "this client was not asked to take part"}});
    return;
  }
  secagg_said(*attempt, peer, message.content, now);
}

void JobRunner::secagg_said(SecureAttempt& attempt, const PeerKey& peer, const Bytes& content, Instant now) {
  const bool decided = attempt.certificate().has_value();
  auto heard = attempt.heard(peer, content, now);  // what is said again puts off no phase's end
  const bool outcome = !decided && attempt.certificate();
  if (outcome)
    persist_outcome(attempt, std::move(heard->rows), now);
  else if (heard)
    services_.out.persist(std::move(heard->rows));
  if (heard) attempt.answer(peer, *heard, now);
  if (&attempt == secure_.get()) leave_unfit(now);
  if (outcome) return outcome_heard(attempt, now);
  if (&attempt != secure_.get()) return;
  if (secure_->phase() < Phase::kMasking) return secure_moved(now);
  if (heard && heard->opens && secure_->phase() == Phase::kUnmasking) unmasking_moved(now);
}

void JobRunner::secagg_letter(const Node& from, const SecAggLetter& message, Instant now) {
  SecureAttempt* const attempt = attempt_of(message.key);
  if (attempt == nullptr || (attempt == secure_.get() && !round_->members.contains(from.summary.key))) return;
  attempt->letter(from.summary.key, message.content, now);
}

bool JobRunner::letter_came(const BlobFetched& event, Instant now) {
  std::vector<SecureAttempt*> all;
  if (secure_) all.push_back(secure_.get());
  for (const auto& [key, attempt] : aborted_) all.push_back(attempt.get());
  for (SecureAttempt* const attempt : all) {
    const auto peer = attempt->letter_came(event);
    if (!peer) continue;
    secagg_said(*attempt, *peer, event.content, now);
    return true;
  }
  return false;
}

void JobRunner::masked_ready(const Node& from, const MaskedReady& message, Instant now) {
  const PeerKey peer = from.summary.key;
  const auto refuse = [&](Error error) { services_.out.send(*from.link, UpdateRefused{message.key, std::move(error)}); };
  if (!secure()) return refuse({ErrorCode::kInvalidUpdate, "this job takes plain updates: privacy.secure_aggregation is false"});
  if (!round_ || round_->key != message.key) return refuse(closed(message.key));
  Member* const member = member_of(message.key, peer);
  if (member == nullptr)
    return refuse({ErrorCode::kPermissionDenied, "this client was not asked to take part in " + to_text(message.key)});
  if (member->state == MemberState::kDelivered) {
    if (member->update.update == message.vectors) return services_.out.send(*from.link, UpdateAccepted{message.key});
    Error other{ErrorCode::kAlreadyExists, "other masked vectors of this client count already in " + to_text(message.key)};
    audit_conflict(peer, *member, other, now);
    return refuse(std::move(other));
  }
  if (round_->frozen) return refuse(closed(message.key));
  if (member->state == MemberState::kRefused || member->state == MemberState::kFailed)
    return refuse({ErrorCode::kInvalidUpdate, "this client's part in " + to_text(message.key) + " is over"});
  if (member->ticket != 0 || member->state == MemberState::kQueued) {
    if (member->update.update == message.vectors) return;  // they are on their way
    interrupt(*member);
  }
  if (member->update.update != message.vectors) release(*member);  // a part of earlier ones
  member->update = UpdateReady{};
  member->update.key = message.key;
  member->update.model = message.model;
  member->update.update = message.vectors;
  member->update.train.seconds = message.seconds;
  member->note = message.note;
  if (message.model != round_->row.model.id)
    return refuse_update(peer, *member, {ErrorCode::kInvalidUpdate, "the vectors start from model " + short_hex(message.model) + ", " +
                                                                       to_text(round_->key) + " offers " + short_hex(round_->row.model.id)},
                         now);
  if (const auto judged = secure_->judge(peer, message, job_.spec); !judged) return refuse_update(peer, *member, judged.error(), now);
  recognise_part(*member);
  member->state = MemberState::kQueued;
  fetch_queued(now);
}

// ---- agreeing and opening

Digest JobRunner::reservation() const {
  const RecordBook::Release* release = services_.records.latest_release(job_.id);
  COVEY_CHECK(release != nullptr && release->sequence == round_->row.ledger);
  return sha256(encode(release->record));
}

void JobRunner::agree(Instant now) {
  const bool fresh = secure_->phase() == Phase::kMasking;
  if (fresh) secure_->agree(reservation(), now);
  phase_begun(now);
  if (fresh) keep_phases(now);
  if (keys_lost(now)) return;
  if (secure_->phase() == Phase::kUnmasking) unmasking_moved(now);
}

// The certificate and the record of it are one batch.
void JobRunner::persist_outcome(SecureAttempt& attempt, Batch rows, Instant now) {
  const OutcomeMessage& certificate = *attempt.certificate();
  const bool commits = certificate.verdict == Verdict::kCommit;
  AuditEntry outcome = act(AuditKind::kOutcome, now);
  outcome.round = attempt.key();
  outcome.subject = sha256(encode(SecAggMessage(certificate)));
  outcome.number = static_cast<std::uint64_t>(certificate.verdict);
  services_.journal.write(rows, now, job_.id,
                          "round " + std::to_string(attempt.key().round) + " attempt " + std::to_string(attempt.key().attempt) +
                              (commits ? ": the members agreed on " + std::to_string(attempt.survivors()) + " survivors of " +
                                             std::to_string(attempt.maskers())
                                       : ": the members signed its ABORT"));
  if (commits) {
    attempt.lasts(phase_time(), now);
    attempt.keep_phase(rows, now);
  }
  services_.records.persist(std::move(rows), {std::move(outcome)});
  services_.out.log(LogLevel::kInfo, "secagg_outcome",
                    {{"job", job_.id}, {"round", attempt.key().round}, {"attempt", attempt.key().attempt},
                     {"verdict", commits ? "commit" : "abort"}, {"signatures", certificate.signatures.size()}});
}

void JobRunner::outcome_heard(SecureAttempt& attempt, Instant now) {
  if (attempt.certificate()->verdict == Verdict::kCommit) {
    phase_begun(now);
    return;
  }
  for (auto at = not_before_.begin(); at != not_before_.end();)
    at = at->second.reason == DeclineReason::kPolicy && !at->second.caught && attempt.masks(at->first) ? not_before_.erase(at)
                                                                                                       : std::next(at);
  if (aborting_ == attempt.key()) return abort_over(now);
  open_round(now);
}

// Too many of the survivors were started again since they masked: without their keys the sum cannot be opened.
bool JobRunner::keys_lost(Instant now) {
  const bool agreed = round_ && secure_ && (secure_->phase() == Phase::kAgreeing || secure_->phase() == Phase::kUnmasking);
  if (!agreed || round_->work != 0 || round_->manifest != 0 || secure_->may_open()) return false;
  give_up(now, "too few of its survivors hold their keys: the others were started again", Duration{});
  return true;
}

// As soon as everyone who is there has revealed its shares; a little later where a threshold has, whatever comes until then.
void JobRunner::unmasking_moved(Instant now) {
  if (round_->work != 0 || round_->manifest != 0 || !secure_->can_open()) return;
  if (!secure_->awaits_any(round_->members)) return open_sum();
  if (!opens_at_) opens_at_ = now + (seeds_until_ ? kOpenAgain : kMoreShares);
  services_.out.now(SetTimer{timer("phase"), std::max(*opens_at_ - now, Duration{})});
}

void JobRunner::open_sum() {
  opens_at_.reset();
  const ModelRow& latest = job_.models.rbegin()->second;
  Unmask work;
  work.key = round_->key;
  work.job = job_.spec;
  work.kind = round_->row.kind;
  work.model = latest.manifest;
  work.optimizer_state = latest.optimizer_state;
  work.next_version = round_->key.round;
  work.members_max = secure_->members_max();
  for (const PeerKey& peer : round_->row.survivors) work.vectors.push_back(*round_->members.at(peer).update.update);
  work.recovery = secure_->recovery();
  services_.blobs.making(job_.id);
  services_.out.now(CancelTimer{timer("phase")});
  round_->work = services_.out.next_ticket();
  services_.out.now(StartWork{round_->work, std::move(work)});
}

// In the journal where it is the first time, or became twice as much: not once a round.
void JobRunner::tell_clamped(std::uint64_t elements, Instant now) {
  const double range = secure_range(job_.spec);
  services_.out.log(LogLevel::kWarning, "secagg_clamped",
                    {{"job", job_.id}, {"round", round_->key.round}, {"attempt", round_->key.attempt}, {"elements", elements}, {"range", range}});
  if (elements / 2 < clamped_told_) return;
  clamped_told_ = elements;
  Batch batch;
  services_.journal.write(batch, now, job_.id,
                          "round " + std::to_string(round_->key.round) + ": " + counted(elements, "element") + " of the updates lay beyond " +
                              setting_text(range) + " and counted as that: the clients diverge, or the range is too small; lower train.learning_rate, or raise "
                              "privacy.value_range (and update.clip_norm, which bounds it where it is set)");
  services_.out.persist(std::move(batch));
}

void JobRunner::opened(const Unmasked& value, Instant now) {
  for (const auto& [place, what] : value.liars)
    if (const auto peer = secure_->peer_at(place)) bar(*peer, what, now);
  if (!value.closed.empty()) return sum_closed(value, now);
  dispute(value, now);
  if (value.clamped > 0) tell_clamped(value.clamped, now);
  round_->opened = value;
  if (round_->row.kind == RoundKind::kEvaluate) return commit(now, std::nullopt);
  aggregated(*value.aggregated);
}

// What more shares may mend is waited for; where a liar is proven, or a member sent noise, they mend nothing.
void JobRunner::sum_closed(const Unmasked& value, Instant now) {
  services_.blobs.made(job_.id);
  services_.out.log(LogLevel::kError, "secagg_not_opened",
                    {{"job", job_.id}, {"round", round_->key.round}, {"attempt", round_->key.attempt}, {"reason", value.closed}});
  if (!value.unopened.empty() && awaits_seeds(value, now)) return;
  const bool may_mend = !value.suspects.empty() && value.liars.empty() && secure_->more_may_reveal();
  if (may_mend && ++open_failures_ <= job_.spec.round.attempts_max) {
    services_.out.now(SetTimer{timer("phase"), kOpenAgain});
    return;
  }
  const std::string seen = suspect(value, now) + spoiled(value, now);
  give_up(now, "the sum cannot be opened: " + value.closed + seen, kOpenAgain);
}

// Silence proves nothing, an unreachable member is as silent: whoever it was is named, and nobody rests for it.
void JobRunner::name_withholders(const Unmasked& value, Instant now) {
  const std::vector<std::uint32_t> silent = secure_->seeds_withheld();
  if (silent.empty()) return;
  Batch batch;
  services_.journal.write(batch, now, job_.id,
                          shortened("round " + std::to_string(round_->key.round) + ": " + named(silent) + " did not tell what they masked with " +
                                        named(value.unopened) + ", which dropped out and whose shares do not open: without it the sum stays closed",
                                    kErrorTextBytesMax));
  services_.out.persist(std::move(batch));
}

// What the neighbours of members that dropped out masked with them does as well as those members' keys.
bool JobRunner::awaits_seeds(const Unmasked& value, Instant now) {
  if (!seeds_until_) {
    seeds_until_ = now + std::clamp<Duration>(job_.spec.round.deadline / 2, kVotesLeast, kVotesMost);
    secure_->ask_seeds(value.unopened, now);
  } else if (now >= *seeds_until_) {
    name_withholders(value, now);
    return false;
  }
  services_.out.now(SetTimer{timer("phase"), kOpenAgain});
  return true;
}

// The coordinator's own trouble: of its disk, its memory.
void JobRunner::not_opened(const Error& error, Instant now) {
  services_.blobs.made(job_.id);
  services_.out.log(LogLevel::kError, "secagg_not_opened",
                    {{"job", job_.id}, {"round", round_->key.round}, {"attempt", round_->key.attempt}, {"reason", error.message}});
  if (++open_failures_ > job_.spec.round.attempts_max) return give_up(now, "the sum cannot be opened: " + error.message, kOpenAgain);
  services_.out.now(SetTimer{timer("phase"), kOpenAgain});
}

void JobRunner::record_secure_metrics(RoundMetrics& metrics) const {
  metrics.examples = round_->opened->examples;
  metrics.train = sane(round_->opened->train);
  metrics.evaluation = sane(round_->opened->evaluation);
  for (const PeerKey& peer : round_->row.survivors) {
    const UpdateReady& vectors = round_->members.at(peer).update;
    metrics.update_bytes += vectors.update->size;
    metrics.train.seconds = std::max(metrics.train.seconds, sane(vectors.train).seconds);
  }
}

void JobRunner::tell_again(Instant now) {
  for (const auto& [key, attempt] : aborted_) attempt->tell_awaited(now);
  if (secure_) secure_->tell_awaited(round_->members, now);
}

// A member that is back is told what it may have missed, of attempts that are over too.
void JobRunner::show_again(const PeerKey& peer, Instant now) {
  if (secure_ && secure_->joined_again(peer) && secure_->phase() >= Phase::kMasking) keep_phases(now);
  for (const auto& [key, attempt] : aborted_)
    if (attempt->seated(peer)) attempt->tell(peer, now);
  if (secure_ && round_->frozen && secure_->takes_part(peer)) secure_->tell(peer, now);
}

}  // namespace covey
