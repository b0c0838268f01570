// An attempt's way through a restart: see secure_attempt.h.
#include <algorithm>

#include "coordinator/secure_attempt.h"
#include "privacy/round_terms.h"

namespace covey {
namespace {

Unexpected corrupted(const std::string& what) { return unexpected(ErrorCode::kCorrupted, what); }

Result<void> held_in_row(const Result<void>& result) {
  if (result) return {};
  return corrupted(result.error().message);
}

}  // namespace

Result<std::unique_ptr<SecureAttempt>> SecureAttempt::restore(const SecureParts& parts, const RoundKey& key, const MaskRow& row) {
  COVEY_TRY(auto server, SecAggServer::restore(row.snapshot, parts.authority, parts.work, parts.random));
  const SecAggConfig& config = server->config();
  if (config.round != key.round || config.attempt != key.attempt || server->phase() != Phase::kMasking)
    return corrupted("its snapshot is of another attempt");
  if (row.peers.size() != server->cohort()->members()) return corrupted("it names another number of peers than its roster has");
  const RoundKind kind = config.stage == stage_of(RoundKind::kTrain) ? RoundKind::kTrain : RoundKind::kEvaluate;
  std::unique_ptr<SecureAttempt> attempt(new SecureAttempt(parts, key, kind, std::move(server)));
  for (std::size_t i = 0; i < row.peers.size(); ++i)
    attempt->subjects_[attempt->server_->cohort()->entries()[i].credential.subject] = row.peers[i];
  attempt->seat();
  if (attempt->places_.size() != row.peers.size()) return corrupted("it names a peer twice");
  for (std::size_t i = 0; i < row.instances.size(); ++i)
    if (row.instances[i] != 0) attempt->instances_[row.peers[i]] = row.instances[i];
  return attempt;
}

Result<void> SecureAttempt::load_masked(const PeerKey& peer, const Bytes& note) {
  const auto place = place_of(peer);
  const auto message = decode_secagg_message(note);
  const auto* masked = message ? std::get_if<MaskedMessage>(&*message) : nullptr;
  if (!place || masked == nullptr || masked->member != *place) return corrupted("masked vectors without their member's note");
  if (const auto taken = server_->handle(note); !taken) return corrupted(taken.error().message);
  return held_in_row(server_->on_vectors(*place, masked->masked));
}

Result<void> SecureAttempt::load_agreed(const Digest& reservation) {
  if (const auto closed = server_->close_masks(reservation); !closed) return corrupted(closed.error().message);
  return {};
}

Result<void> SecureAttempt::load_outcome(ByteSpan certificate) {
  const auto message = decode_secagg_message(certificate);
  const auto* outcome = message ? std::get_if<OutcomeMessage>(&*message) : nullptr;
  if (outcome == nullptr) return corrupted("it is no certificate");
  return held_in_row(server_->adopt(*outcome));
}

Result<void> SecureAttempt::load_unmask(const PeerKey& peer, const Bytes& note) {
  const auto message = decode_secagg_message(note);
  const auto* unmask = message ? std::get_if<UnmaskMessage>(&*message) : nullptr;
  if (unmask == nullptr || place_of(peer) != unmask->member) return corrupted("it is not what that member revealed");
  if (const auto taken = server_->handle(note); !taken) return corrupted(taken.error().message);
  unmasks_.insert(peer);
  revealing_ = true;
  return {};
}

Result<void> SecureAttempt::load_phase(const PhaseRow& row) {
  if (row.phase < static_cast<std::uint8_t>(Phase::kMasking) || row.phase > static_cast<std::uint8_t>(Phase::kAborted))
    return corrupted("its phase does not exist");
  for (const PeerKey& peer : row.lost)
    if (!seated(peer)) return corrupted("it names a member that is not in the roster");
  lost_.insert(row.lost.begin(), row.lost.end());
  row_ = row;
  return {};
}

Result<void> SecureAttempt::load_vote(const PeerKey& peer, const Bytes& note, Verdict verdict) {
  const auto message = decode_secagg_message(note);
  const auto* vote = message ? std::get_if<VoteMessage>(&*message) : nullptr;
  if (vote == nullptr || place_of(peer) != vote->member || vote->verdict != verdict) return corrupted("it is not that member's vote");
  if (verdict == Verdict::kAbort && phase() != Phase::kAborting)
    if (const auto sought = server_->abort(); !sought) return corrupted(sought.error().message);
  if (const auto taken = server_->handle(note); !taken) return corrupted(taken.error().message);
  // The vote that completes a certificate is written as that certificate.
  if (certificate()) return corrupted("the certificate that these votes make is missing");
  votes_.insert(peer);
  return {};
}

// ---- written

std::vector<std::uint64_t> SecureAttempt::instances() const {
  std::vector<std::uint64_t> all;
  for (const PeerKey& peer : peers_) {
    const auto known = instances_.find(peer);
    all.push_back(known == instances_.end() ? 0 : known->second);
  }
  return all;
}

Duration SecureAttempt::time_for(Duration whole) const {
  if (!row_ || row_->phase != static_cast<std::uint8_t>(phase())) return whole;
  return std::clamp(row_->left, std::min(kPhaseLeast, whole), whole);
}

bool SecureAttempt::out_of_time() const {
  return row_ && row_->phase == static_cast<std::uint8_t>(phase()) && row_->left == Duration{};
}

void SecureAttempt::keep_phase(Batch& batch, Instant now) const {
  PhaseRow row;
  row.phase = static_cast<std::uint8_t>(phase());
  row.left = std::clamp<Duration>(ends_ - now, Duration{}, kPhaseLeftMax);
  row.lost.assign(lost_.begin(), lost_.end());
  batch.put(phase_key(key_), encode(row));
}

void SecureAttempt::erase_votes(Batch& batch) const {
  for (const PeerKey& peer : votes_) batch.erase(vote_key(key_, peer));
}

// Of an attempt that is given up after votes: from then on its ABORT alone is sought.
void SecureAttempt::erase_commit(Batch& batch) {
  erase_votes(batch);
  votes_.clear();
  if (!decided()) return;
  batch.erase(outcome_key(key_));
  for (const PeerKey& peer : unmasks_) batch.erase(unmask_key(key_, peer));
  unmasks_.clear();
}

void SecureAttempt::erase_rows(Batch& batch) const {
  if (phase() < Phase::kMasking) return;
  batch.erase(mask_key(key_));
  batch.erase(phase_key(key_));
  if (certificate()) batch.erase(outcome_key(key_));
  erase_votes(batch);
  for (const PeerKey& peer : unmasks_) batch.erase(unmask_key(key_, peer));
}

}  // namespace covey
