// An attempt's way through a restart: see secure_attempt.h.
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

void SecureAttempt::erase_rows(Batch& batch) const {
  if (phase() < Phase::kMasking) return;
  batch.erase(mask_key(key_));
  if (certificate()) batch.erase(outcome_key(key_));
  for (const PeerKey& peer : unmasks_) batch.erase(unmask_key(key_, peer));
}

}  // namespace covey
