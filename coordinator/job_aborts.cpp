// Attempts that are given up after their order to mask, until their members' ABORT is signed; the time of phases over
// restarts; whom the end of an attempt waits for; and what all attempts of a job are taken up from.
#include <algorithm>
#include <cmath>

#include "coordinator/job_runner.h"
#include "core/crypto/digest.h"
#include "core/protocol/limits.h"

namespace covey {
namespace {

using Phase = SecureAttempt::Phase;

// A process that is killed after N seconds has written at least a third of them, or all but the last sixteen.
constexpr Duration kKeptFirst = std::chrono::seconds(1);
constexpr Duration kKeptMost = std::chrono::seconds(16);
constexpr Duration kNamedAfter = std::chrono::seconds(10);  // signatures and shares are there within a second or two
constexpr std::size_t kMissingNamed = 5;
constexpr Duration kAbortLeast = std::chrono::seconds(2), kAbortMost = std::chrono::seconds(30);

}  // namespace

// ---- time

void JobRunner::keep_time() {
  kept_after_ = kKeptFirst;
  services_.out.now(SetTimer{timer("time"), kept_after_});
}

// Who is away, or silent, may hold up a sum for long: a job never stands still without a word.
void JobRunner::name_missing(Instant now) {
  const bool waits = round_ && secure_ && round_->consumed.empty() && round_->work == 0 && round_->manifest == 0 &&
                     (secure_->phase() == Phase::kAgreeing || secure_->phase() == Phase::kUnmasking);
  const std::vector<PeerKey> missing = waits ? secure_->missing() : std::vector<PeerKey>();
  if (missing_ && (missing.empty() || missing_->phase != secure_->phase())) {
    if (job_.summary.text == missing_->text) job_.summary.text.clear();
    missing_.reset();
  }
  if (missing.empty()) return;
  if (!missing_) missing_ = Missing{secure_->phase(), now, {}};
  if (now - missing_->since < kNamedAfter) return;
  std::string names;
  for (std::size_t i = 0; i < std::min(missing.size(), kMissingNamed); ++i) {
    const Node* node = services_.registry.find(missing[i]);
    names += (names.empty() ? "" : ", ") + services_.registry.name_of(missing[i]) + (node != nullptr && node->link ? "" : " (away)");
  }
  if (missing.size() > kMissingNamed) names += " and " + std::to_string(missing.size() - kMissingNamed) + " more";
  const bool agreeing = secure_->phase() == Phase::kAgreeing;
  const bool held = !secure_->can_abort() && (agreeing || secure_->absent_may_open());  // as phase_late() judges
  const Duration left = std::max<Duration>((held ? std::max(secure_->ends(), round_->deadline + kSharesMost) : secure_->ends()) - now, Duration{});
  const std::string text = shortened("waiting for " + std::string(agreeing ? "signatures under who the survivors are" : "shares that open the sum") +
                                         " from " + names + ", for " + counted(static_cast<std::uint64_t>(std::ceil(seconds(left) / 60)), "minute") + " at most",
                                     kErrorTextBytesMax);
  if (missing_->text.empty()) {
    Batch batch;
    services_.journal.write(batch, now, job_.id, "round " + std::to_string(round_->key.round) + " attempt " + std::to_string(round_->key.attempt) + ": " + text);
    services_.out.persist(std::move(batch));
  }
  job_.summary.text = missing_->text = text;
}

// No clock on the wall can tell how long no coordinator ran: what is left is written while one does.
void JobRunner::keep_phases(Instant now) {
  Batch batch;
  if (secure_ && secure_->phase() >= Phase::kMasking) secure_->keep_phase(batch, now);
  if (const auto at = aborted_.find(aborting_); at != aborted_.end()) at->second->keep_phase(batch, now);
  services_.out.persist(std::move(batch));
}

void JobRunner::time_passed(Instant now) {
  const bool kept = (secure_ && secure_->phase() >= Phase::kMasking) || aborted_.contains(aborting_);
  if (!kept) return;
  keep_phases(now);
  kept_after_ = std::min(2 * kept_after_, kKeptMost);
  services_.out.now(SetTimer{timer("time"), kept_after_});
}

// ---- aborts

void JobRunner::leave_attempt(Batch& batch) {
  if (secure_) {
    services_.out.now(CancelTimer{timer("phase")});
    if (!round_->committed && secure_->open_masks()) {
      secure_->erase_commit(batch);
      aborted_[round_->key] = std::move(secure_);
      return;
    }
    secure_->erase_rows(batch);
    secure_->close();
    secure_.reset();
  }
  if (round_->committed) drop_aborted(batch);  // nobody is bound to an attempt of it any more: the next model is another
}

// Nobody asks for their ABORTs any more, nor shows them: the round is committed, or the job is over.
void JobRunner::drop_aborted(Batch& batch) {
  for (const auto& [key, attempt] : aborted_) {
    attempt->erase_rows(batch);
    attempt->close();
  }
  aborted_.clear();
}

bool JobRunner::seek_abort(const RoundKey& key, Instant now) {
  const auto at = aborted_.find(key);
  if (at == aborted_.end() || at->second->phase() == Phase::kAborted) return false;
  SecureAttempt& attempt = *at->second;
  attempt.abort(now);
  if (attempt.out_of_time()) return false;  // a process before this one waited for it
  const Duration wait = attempt.time_for(std::clamp<Duration>(job_.spec.round.deadline / 8, kAbortLeast, kAbortMost));
  aborting_ = key;
  paused_ = true;
  attempt.lasts(wait, now);
  services_.out.now(SetTimer{timer("abort"), wait});
  keep_time();
  return true;
}

// After a restart. A job that was over had its time for them.
void JobRunner::resume_aborts(Instant now) {
  if (job_.summary.state != JobState::kRunning) {
    Batch batch;
    drop_aborted(batch);
    services_.out.persist(std::move(batch));
    return;
  }
  for (const auto& [key, attempt] : aborted_) seek_abort(key, now);
}

void JobRunner::abort_over(Instant now) {
  const RoundKey key = std::exchange(aborting_, RoundKey{});
  if (key.job == 0) return;
  services_.out.now(CancelTimer{timer("abort")});
  paused_ = false;
  Batch batch;
  if (const auto at = aborted_.find(key); at != aborted_.end()) {  // else its round was committed meanwhile
    const bool signed_off = at->second->certificate().has_value();
    at->second->lasts(Duration{}, now);
    at->second->keep_phase(batch, now);
    for (const auto& [peer, node] : services_.registry.nodes())
      if (node.link && at->second->seated(peer))
        services_.out.send(*node.link, RoundClosed{at->first, false, signed_off ? "the attempt ended in an ABORT"
                                                                                 : "the attempt was abandoned; its ABORT is still sought"});
    at->second->close();
  }
  if (job_.summary.state != JobState::kRunning) {
    batch = Batch{};
    drop_aborted(batch);
  }
  services_.out.persist(std::move(batch));
  open_round(now);
}

// ---- rows

Result<void> JobRunner::load_mask(const RoundKey& key, ByteSpan value) {
  COVEY_TRY(secure_rows_[key].mask, decode_mask_row(value));
  return {};
}

Result<void> JobRunner::load_outcome(const RoundKey& key, ByteSpan value) {
  COVEY_TRY(secure_rows_[key].outcome, secagg_of_value(value));
  return {};
}

Result<void> JobRunner::load_unmask(const RoundKey& key, const PeerKey& peer, ByteSpan value) {
  COVEY_TRY(secure_rows_[key].unmasks[peer], secagg_of_value(value));
  return {};
}

Result<void> JobRunner::load_vote(const RoundKey& key, const PeerKey& peer, ByteSpan value) {
  COVEY_TRY(secure_rows_[key].votes[peer], secagg_of_value(value));
  return {};
}

Result<void> JobRunner::load_phase(const RoundKey& key, ByteSpan value) {
  COVEY_TRY(secure_rows_[key].phase, decode_phase_row(value));
  return {};
}

Result<void> JobRunner::load_spared(ByteSpan value) {
  COVEY_TRY(spared_, decode_spared_row(value));
  if (spared_.round != job_.next_round() || job_.summary.state != JobState::kRunning)
    return unexpected(ErrorCode::kCorrupted, "it is of no round in progress");
  return {};
}

Result<void> JobRunner::assemble() {
  for (auto& [key, rows] : std::exchange(secure_rows_, {})) {
    const auto in_row = [&](const std::string& row, const Result<void>& result) -> Result<void> {
      if (result) return {};
      return unexpected(ErrorCode::kCorrupted, "row " + row + ": " + result.error().message);
    };
    auto restored = SecureAttempt::restore(secure_parts(), key, rows.mask);
    if (!restored) return unexpected(ErrorCode::kCorrupted, "row " + mask_key(key) + ": " + restored.error().message);
    std::unique_ptr<SecureAttempt> attempt = std::move(*restored);
    const bool current = round_ && round_->key == key;
    if (current && !secure()) return unexpected(ErrorCode::kCorrupted, "row " + mask_key(key) + ": its job has no masks");
    if (current) {
      for (const auto& [peer, member] : round_->members)
        if (member.state == MemberState::kDelivered)
          COVEY_TRY_VOID(in_row(update_key(key, peer), attempt->load_masked(peer, member.note)));
      if (round_->frozen) {
        const RecordBook::Release* release = services_.records.latest_release(job_.id);
        if (release == nullptr || release->sequence != round_->row.ledger)
          return unexpected(ErrorCode::kCorrupted, "row " + round_key(key) + ": its ledger record is missing");
        COVEY_TRY_VOID(in_row(mask_key(key), attempt->load_agreed(reservation())));
      }
    }
    const Verdict sought = current ? Verdict::kCommit : Verdict::kAbort;
    for (const auto& [peer, note] : rows.votes) COVEY_TRY_VOID(in_row(vote_key(key, peer), attempt->load_vote(peer, note, sought)));
    if (rows.outcome) COVEY_TRY_VOID(in_row(outcome_key(key), attempt->load_outcome(*rows.outcome)));
    for (const auto& [peer, note] : rows.unmasks) COVEY_TRY_VOID(in_row(unmask_key(key, peer), attempt->load_unmask(peer, note)));
    if (rows.phase) COVEY_TRY_VOID(in_row(phase_key(key), attempt->load_phase(*rows.phase)));
    if (current)
      secure_ = std::move(attempt);
    else
      aborted_[key] = std::move(attempt);
  }
  return {};
}

}  // namespace covey
