// One round as a whole: cohort, offers, closing, commit.
#include <algorithm>
#include <cmath>

#include "coordinator/job_runner.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"

namespace covey {
namespace {

constexpr Duration kAnswerWait = 2 * kHeartbeatInterval;  // for an answer to an offer, before it is repeated
constexpr Duration kUpdateWait = std::chrono::seconds(30); // for an update of a client that accepted
// For an ABORT of members that are all here; and for clients that are away, where who is here was caught at a lie: to be
// caught must not be a way to end a job.
constexpr Duration kSignedWait = std::chrono::seconds(300);
constexpr std::size_t kUnvouchedNamed = 5, kAwayNamed = 5;  // in the text of a job that waits
constexpr std::uint32_t kPauseDoublings = 5;  // 2, 4, ... 32 s after attempts that nobody could deliver to

Duration pause_after(std::uint32_t attempt) {
  return std::chrono::seconds(1U << std::min(attempt, kPauseDoublings));
}

}  // namespace

// ---- opening

std::string JobRunner::declined_text() const {
  std::map<DeclineReason, std::pair<std::size_t, std::string>> reasons;  // how often, and one of them
  std::size_t declined = 0;
  for (const auto& [peer, refusal] : not_before_) {
    if (refusal.until != Instant::max()) continue;
    ++declined;
    auto& [count, example] = reasons[refusal.reason];
    if (count++ == 0)
      example = services_.registry.name_of(peer) + ": " + name_of(refusal.reason) +
                (refusal.text.empty() ? "" : ": " + refusal.text);
  }
  if (declined == 0) return {};
  const auto commonest = std::max_element(reasons.begin(), reasons.end(), [](const auto& a, const auto& b) {
    return a.second.first < b.second.first;
  });
  return std::to_string(declined) + " declined for good, e.g. " + commonest->second.second;
}

std::string JobRunner::away_text() const {
  std::string names;
  std::size_t away = 0;
  for (const auto& [key, node] : services_.registry.nodes())
    if (!node.summary.revoked && !node.link && node.summary.role == Role::kClient && ++away <= kAwayNamed)
      names += (names.empty() ? "; away: " : ", ") + node.summary.name;
  return away <= kAwayNamed ? names : names + " and " + std::to_string(away - kAwayNamed) + " more";
}

bool JobRunner::asked_again() const {
  return std::any_of(not_before_.begin(), not_before_.end(), [](const auto& one) {
    return one.second.until == Instant::max() && !one.second.caught && !one.second.held_up;
  });
}

// Whether too few of the connected clients have not declined for good, although enough are there;
// when that lasts for round.deadline the job fails, so that the next one gets its turn.
bool JobRunner::fails_for_declines(std::size_t wanted, const std::string& text, Instant now) {
  std::size_t connected = 0, willing = 0;
  bool caught = false;
  for (const auto& [key, node] : services_.registry.nodes()) {
    if (node.summary.revoked || !node.link || node.summary.role != Role::kClient) continue;
    ++connected;
    if (secure() && sits_out(key)) continue;
    const auto declined = not_before_.find(key);
    if (declined == not_before_.end() || declined->second.until != Instant::max()) ++willing;
    else if (declined->second.caught) caught = true;
  }
  if (job_.evaluating() || connected < wanted || willing >= wanted) {
    stuck_since_.reset();
    return false;
  }
  if (secure() && std::any_of(aborted_.begin(), aborted_.end(), [](const auto& one) { return one.second->awaits_absent(); })) {
    stuck_since_.reset();  // who is away may end what the others are bound to
    return false;
  }
  if (!stuck_since_) {
    stuck_since_ = now;
    Batch batch;
    services_.journal.write(batch, now, job_.id, shortened(text, kErrorTextBytesMax));
    services_.out.persist(std::move(batch));
  }
  if (now - *stuck_since_ < std::max<Duration>(job_.spec.round.deadline, aborted_.empty() && !caught ? Duration{} : kSignedWait)) return false;
  if (!consume_endless(now, text)) end(JobState::kFailed, now, text);
  return true;
}

void JobRunner::wait_for_clients(std::size_t there, std::size_t wanted, Instant now) {
  std::string declined = declined_text();
  std::size_t unvouched = 0, sitting = 0;
  std::string names;  // of the first of them
  if (secure())
    for (const auto& [key, node] : services_.registry.nodes()) {
      if (node.summary.revoked || !node.link || node.summary.role != Role::kClient) continue;
      const bool vouched = services_.registry.vouched(node);
      if (!vouched && ++unvouched <= kUnvouchedNamed) names += (names.empty() ? "" : ", ") + node.summary.name;
      sitting += vouched && sits_out(key) ? 1 : 0;
    }
  const auto add = [&](const std::string& text) { declined += (declined.empty() ? "" : "; ") + text; };
  if (unvouched > 0)
    add(std::to_string(unvouched) + " have no credential for secure aggregation (" + names +
        (unvouched > kUnvouchedNamed ? ", ..." : "") + "): the authority gives it with `covey vouch NAME`, or --all");
  for (const auto& [key, attempt] : aborted_)
    if (sitting > 0 && !attempt->certificate())
      add(std::to_string(sitting) + " " + kEndlessWords + ": attempt " + std::to_string(key.attempt) + "'s ABORT is signed by " +
          attempt->abort_text() + (attempt->awaits_absent() ? "; others that may sign are away" : ""));
  const std::string text =
      shortened("waiting for clients: " + std::to_string(there) + " of " + std::to_string(wanted) +
                    (declined.empty() ? " there" : " that can take part; " + declined),
                kErrorTextBytesMax);
  if (free_suspects()) return open_round(now);  // the job does not wait for others because of what is not proven
  if (fails_for_declines(wanted, text, now)) return;
  // Too few are connected for it to fail: it waits for others, or for these to be set otherwise.
  const std::string told = stuck_since_ || job_.evaluating() || !asked_again() ? shortened(text + away_text(), kErrorTextBytesMax) : shortened(
      "waiting for clients: " + std::to_string(there) + " of " + std::to_string(wanted) + " that can take part (who declined for good is asked again "
      "when its covey-client starts anew; `covey stop " + std::to_string(job_.id) + "` ends the job); " + declined, kErrorTextBytesMax);
  if (unvouched > 0 && std::exchange(unvouched_named_, job_.next_round()) != job_.next_round()) {
    Batch batch;
    services_.journal.write(batch, now, job_.id, "round " + std::to_string(job_.next_round()) + ": " + text);
    services_.out.persist(std::move(batch));
  }
  if (waiting_ && job_.summary.text == told) return;
  job_.summary.text = told;
  if (!waiting_)
    services_.out.log(LogLevel::kInfo, "waiting_for_clients",
                      {{"job", job_.id}, {"round", job_.next_round()}, {"available", there}, {"needed", wanted}, {"text", told}});
  if (!waiting_ && job_.evaluating()) services_.out.now(SetTimer{timer("deadline"), evaluation_wait()});
  waiting_ = true;
}

void JobRunner::begin_round(Selection selected, std::unique_ptr<SecureAttempt> attempt, Instant now) {
  const RoundKey key{job_.id, job_.next_round(), job_.summary.attempt + 1};
  waiting_ = false;
  stuck_since_.reset();
  Round round;
  round.key = key;
  round.row = RoundRow{job_.evaluating() ? RoundKind::kEvaluate : RoundKind::kTrain, selected.target, now,
                       job_.summary.model, std::move(selected.cohort), 0, {}};
  round.deadline = now + job_.spec.round.deadline;
  job_.summary.attempt = key.attempt;
  job_.summary.text.clear();
  Batch batch;
  batch.put(round_key(key), encode(round.row));
  put_state(job_, batch);
  AuditEntry opened = act(AuditKind::kRoundOpened, now);
  opened.round = key;
  opened.subject = roster_digest(round.row.cohort);
  opened.number = round.row.cohort.size();
  services_.records.persist(std::move(batch), {std::move(opened)});
  services_.out.now(SetTimer{timer("deadline"), job_.spec.round.deadline});
  services_.out.log(LogLevel::kInfo, "round_started",
                    {{"job", job_.id}, {"round", key.round}, {"attempt", key.attempt},
                     {"kind", job_.evaluating() ? "evaluate" : "train"}, {"cohort", round.row.cohort.size()},
                     {"target", round.row.target}});
  for (const PeerKey& peer : round.row.cohort) {
    round.members[peer] = Member{};
    services_.registry.find(peer)->engaged = job_.id;
  }
  round_ = std::move(round);
  secure_ = std::move(attempt);
  open_failures_ = 0;
  seeds_until_.reset();
  opens_at_.reset();
  if (secure_) {
    secure_->lasts(job_.spec.round.deadline, now);  // until the masked vectors are here
    phase_begun(now);
  }
  for (const auto& [peer, member] : round_->members) offer(peer, now);
}

void JobRunner::offer(const PeerKey& peer, Instant now) {
  const Node* node = services_.registry.find(peer);
  COVEY_CHECK(node != nullptr && node->link);
  round_->members.at(peer).offered = now;
  if (round_->deadline <= now) return;  // the deadline's timer is about to close it
  const double rounds = job_.spec.rounds;
  const double round = std::min<double>(round_->key.round, rounds);
  RoundOffer offer;
  offer.key = round_->key;
  offer.kind = round_->row.kind;
  offer.config = job_.config;
  offer.model = round_->row.model;
  offer.deadline = round_->deadline - now;
  offer.progress_begin = job_.evaluating() ? 1.0 : (round - 1) / rounds;
  offer.progress_end = round / rounds;
  if (secure_) services_.registry.tell_credential(*node);
  services_.out.send(*node->link, std::move(offer));
}

void JobRunner::tick(Instant now) {
  open_round(now);
  offer_again(now);
  tell_again(now);
  name_missing(now);
  rotate_fetches(now);
}

// An offer or its answer may be lost with a connection. Clients answer a repeated offer with what
// they said last.
void JobRunner::offer_again(Instant now) {
  if (!round_ || round_->frozen) return;
  for (auto& [peer, member] : round_->members) {
    const bool asked = member.state == MemberState::kOffered;
    if (!asked && member.state != MemberState::kWorking) continue;
    if (now - member.offered < (asked ? kAnswerWait : kUpdateWait)) continue;
    Node* node = services_.registry.find(peer);
    if (node == nullptr || !node->link || (node->engaged != 0 && node->engaged != job_.id)) continue;
    node->engaged = job_.id;
    offer(peer, now);
  }
}

// ---- closing

std::uint32_t JobRunner::needed() const {
  if (secure_) return std::max(secure_->needed(), ceil_share(job_.spec.round.quorum, round_->row.target));
  if (round_->row.kind == RoundKind::kEvaluate) return 1;
  // The mean of one update is that update: nobody's alone becomes the model unless the job says so.
  const std::uint32_t least = std::min(std::uint32_t{2}, job_.spec.selection.min_clients);
  return std::max(least, ceil_share(job_.spec.round.quorum, round_->row.target));
}

void JobRunner::consider(Instant now) {
  if (!round_ || round_->frozen) return;
  if (round_->closing) return freeze(now);
  if (secure_ && secure_->phase() < SecureAttempt::Phase::kMasking) return secure_moved(now);
  const RoundTally tally = round_->tally();
  const bool enough = tally.delivered >= needed() && (!secure_ || secure_->can_freeze());
  const bool all = tally.delivered >= round_->row.target && (!secure_ || enough);
  if (all || (enough && tally.coming == 0)) return freeze(now);
  if (tally.coming == 0 && tally.lost == 0) {
    rest_silent(now);
    abandon(now,
            "only " + std::to_string(tally.delivered) + " of " + std::to_string(round_->members.size()) +
                " clients asked delivered, " + std::to_string(needed()) + " are needed",
            pause_after(round_->key.attempt));
  }
}

// A sum is closed only when nothing is being added to it: whether that ends well decides what is in it.
bool JobRunner::close_sum() {
  if (!sums()) return true;
  round_->closing = true;
  bool adding = false;
  for (auto& [peer, member] : round_->members) {
    if (member.state == MemberState::kChecking) adding = true;
    else if (member.state != MemberState::kDelivered) interrupt(member);
  }
  return !adding;
}

void JobRunner::aggregated(const Aggregated& value) {
  round_->aggregated = value;
  round_->manifest = services_.out.next_ticket();
  services_.out.now(FetchBlob{round_->manifest, PeerKey{}, value.model});
}

void JobRunner::next_model_ready(const BlobFetched& event, Instant now) {
  auto manifest = decode_manifest(event.content);
  if (!manifest) return end(JobState::kFailed, now, "the next model: " + manifest.error().message);
  commit(now, ModelRow{event.blob, std::move(manifest->shards), round_->aggregated.optimizer_state});
}

void JobRunner::record_metrics(Batch& batch, Instant now) {
  const RoundTally tally = round_->consumed.empty() ? round_->tally() : RoundTally{};
  RoundMetrics metrics;
  metrics.round = round_->key.round;
  metrics.attempt = round_->key.attempt;
  metrics.cohort = static_cast<std::uint32_t>(round_->members.size());
  metrics.delivered = tally.delivered;
  metrics.declined = tally.declined;
  metrics.started = round_->row.started;
  metrics.committed = now;
  const double norm = round_->aggregated.update_norm;
  metrics.update_norm = std::isfinite(norm) ? norm : 0;
  std::vector<std::pair<PeerKey, ClientMetrics>> clients;
  if (secure_ && round_->opened) record_secure_metrics(metrics);
  for (const auto& [peer, member] : round_->members) {
    if (member.state != MemberState::kDelivered || secure_) continue;
    const UpdateReady& update = member.update;
    const ClientMetrics row{metrics.round, services_.registry.name_of(peer), std::min(update.examples, kExamplesMax),
                            sane(update.train), sane(update.evaluation)};
    metrics.examples += row.examples;
    metrics.train.loss_sum += row.train.loss_sum;
    metrics.train.targets += row.train.targets;
    metrics.train.steps = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(std::uint64_t{metrics.train.steps} + row.train.steps, 0xffffffffU));
    metrics.train.seconds = std::max(metrics.train.seconds, row.train.seconds);
    metrics.evaluation += row.evaluation;
    if (update.update) metrics.update_bytes += update.update->size;
    clients.emplace_back(peer, row);
  }
  put_metrics(job_, batch, metrics, std::move(clients));
}

void JobRunner::commit(Instant now, std::optional<ModelRow> next) {
  Batch batch;
  record_metrics(batch, now);
  round_->committed = true;
  const RoundMetrics& metrics = job_.metrics.back();
  std::vector<LogField> fields{{"job", job_.id}, {"round", metrics.round}, {"attempt", metrics.attempt},
                               {"delivered", metrics.delivered}, {"cohort", metrics.cohort},
                               {"examples", metrics.examples}, {"update_norm", metrics.update_norm},
                               {"seconds", seconds(now - metrics.started)}};
  if (metrics.evaluation.targets > 0) {
    const double targets = static_cast<double>(metrics.evaluation.targets);
    fields.emplace_back("loss", metrics.evaluation.loss_sum / targets);
    fields.emplace_back("accuracy", static_cast<double>(metrics.evaluation.correct) / targets);
  }
  const bool consumed = !round_->consumed.empty();
  AuditEntry released = act(consumed ? AuditKind::kConsumed : AuditKind::kReleased, now);
  released.number = round_->row.ledger;
  released.text = round_->consumed;
  if (consumed) {
    fields.emplace_back("reason", round_->consumed);
    services_.journal.write(batch, now, job_.id,
                            "round " + std::to_string(metrics.round) + " consumed, its model is the one before: " + round_->consumed);
  }
  informed_.clear();
  if (secure()) {
    free_after_commit(consumed, batch);
    if (!consumed && next && suspicion_.committed({round_->row.survivors.begin(), round_->row.survivors.end()}))
      batch.put(suspicion_key(job_.id), encode(suspicion_));
  }
  if (!next) {  // the final evaluation: figures, no model
    released.text = "figures of the final evaluation";
    end(JobState::kFinished, now, "", std::move(batch), {std::move(released)});
    services_.out.log(LogLevel::kInfo, "round_committed", std::move(fields));
    return;
  }
  const std::uint32_t version = round_->key.round;
  hold_model(*next);
  services_.blobs.made(job_.id);
  drop_round(batch);
  batch.put(model_key(job_.id, version), encode(*next));
  std::optional<ModelRow> hidden;
  if (version >= 2) hidden = job_.models.at(version - 2);
  if (version >= 3) {
    batch.erase(model_key(job_.id, version - 2));
    job_.models.erase(version - 2);
  }
  job_.summary.round = version;
  job_.summary.attempt = 0;
  job_.summary.model = next->manifest;
  put_state(job_, batch);
  if (std::exchange(spared_, {}).attempts > 0) batch.erase(spared_key(job_.id));
  released.subject = next->manifest.id;
  services_.records.persist(std::move(batch), {std::move(released)});
  show_model(*next);
  job_.models[version] = std::move(*next);
  close_to_cohort(consumed ? "the round was consumed: " + round_->consumed : "");
  services_.out.log(consumed ? LogLevel::kWarning : LogLevel::kInfo, consumed ? "round_consumed" : "round_committed", std::move(fields));
  release_all();
  if (hidden) hide_model(*hidden);
  if (hidden && version >= 3) drop_model(*hidden);
  round_.reset();
  open_round(now);
}

// Everyone asked has said that it gives nothing: another attempt would hear the same. Who is busy says something else soon.
bool JobRunner::nobody_else() const {
  return std::all_of(round_->members.begin(), round_->members.end(), [&](const auto& one) {
    const MemberState state = one.second.state;
    if (state == MemberState::kFailed || state == MemberState::kRefused) return true;
    const auto said = not_before_.find(one.first);
    return state == MemberState::kDeclined && said != not_before_.end() && said->second.reason != DeclineReason::kBusy;
  });
}

// Longer than anyone rests, so that who is back, and rests, takes part after all.
Duration JobRunner::evaluation_wait() const { return job_.spec.round.deadline + std::chrono::seconds(60); }

// The model is made: its last figures hold up the end of the job for a few attempts only, whatever a round may have.
std::uint32_t JobRunner::attempts_max() const {
  const std::uint32_t most = job_.spec.round.attempts_max;
  return round_->row.kind == RoundKind::kEvaluate ? std::min(most, kEvaluationAttemptsMax) : most;
}

std::string JobRunner::last_failure_text() const {
  return last_failure_.first != round_->key.round ? std::string() : "; the last that failed, " + last_failure_.second;
}

void JobRunner::abandon(Instant now, const std::string& why, Duration pause, Fault fault) {
  services_.blobs.made(job_.id);
  const RoundKey key = round_->key;
  services_.out.log(LogLevel::kWarning, "attempt_abandoned",
                    {{"job", job_.id}, {"round", key.round}, {"attempt", key.attempt}, {"reason", why}});
  // Between `covey revoke` and the list that it signs members decline what goes by the list before.
  if (secure_ && secure_->revocation_root() != root_of(services_.registry.withdrawals())) fault = Fault::kRevocation;
  if (fault != Fault::kAttempt) {
    spared_ = {key.round, spared_.attempts + 1};
  } else if (round_->row.kind == RoundKind::kEvaluate && nobody_else()) {
    const std::string declined = declined_text();
    return end(JobState::kFinished, now, "the final evaluation did not succeed: " + why + (declined.empty() ? "" : "; " + declined) +
                                             last_failure_text());
  } else if (key.attempt - std::min(key.attempt, spared_.attempts) >= attempts_max()) {
    if (round_->row.kind == RoundKind::kEvaluate)
      return end(JobState::kFinished, now, "the final evaluation did not succeed in " + counted(attempts_max(), "attempt") + ": " + why +
                                               last_failure_text());
    return end(JobState::kFailed, now, to_text(key) + ": " + why + "; round.attempts_max = " + counted(attempts_max(), "attempt") +
                                           (attempts_max() == 1 ? " is" : " are") + " used up" + last_failure_text());
  }
  Batch batch;
  drop_round(batch);
  if (fault != Fault::kAttempt) batch.put(spared_key(job_.id), encode(spared_));
  services_.journal.write(batch, now, job_.id,
                          "round " + std::to_string(key.round) + " attempt " + std::to_string(key.attempt) +
                              " abandoned: " + why);
  AuditEntry abandoned = act(AuditKind::kAbandoned, now);
  abandoned.text = why;
  services_.records.persist(std::move(batch), {std::move(abandoned)});
  close_to_cohort(shortened(why, kErrorTextBytesMax));
  release_all();
  round_.reset();
  if (seek_abort(key, now)) return;
  if (pause == Duration{}) return open_round(now);
  paused_ = true;
  services_.out.now(SetTimer{timer("pause"), pause});
}

void JobRunner::close_to_cohort(const std::string& text) {
  const auto aborted = aborted_.find(round_->key);
  for (const auto& [peer, member] : round_->members) {
    if (aborted != aborted_.end() && aborted->second->seated(peer)) continue;  // abort_over() tells it
    const Node* node = services_.registry.find(peer);
    if (node != nullptr && node->link && member.state != MemberState::kDeclined)
      services_.out.send(*node->link, RoundClosed{round_->key, round_->committed && round_->consumed.empty(), text});
  }
}

}  // namespace covey
