// Rounds that end without their sum. A sum that nobody can open, or that is noise, is not tried again: its members are
// bound to it, for a second sum of the same round could be subtracted from the first. Its release counts as spent, its
// ledger record stays, and the round ends with the model that it began with. That model's manifest names the round, so
// that its hash is another: the next round is another release, and is charged as one.
#include <algorithm>

#include "coordinator/job_runner.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"

namespace covey {
namespace {

constexpr Duration kStoreAgain = std::chrono::seconds(5);

// Rounds at the end of these that were consumed: of every other, somebody's update counted.
std::uint32_t consumed_in_a_row(const std::vector<RoundMetrics>& metrics) {
  std::uint32_t count = 0;
  for (auto at = metrics.rbegin(); at != metrics.rend() && at->delivered == 0; ++at) ++count;
  return count;
}

}  // namespace

void JobRunner::give_up(Instant now, const std::string& why, Duration pause) {
  const bool trains = round_->row.kind == RoundKind::kTrain;
  if (round_->frozen && trains && !secure_->can_abort()) return consume(now, why);
  abandon(now, why, pause);
}

void JobRunner::consume(Instant now, const std::string& why) {
  services_.out.now(CancelTimer{timer("phase")});
  const std::uint32_t before = consumed_in_a_row(job_.metrics);
  if (before >= job_.spec.round.attempts_max)
    return end(JobState::kFailed, now,
               to_text(round_->key) + ": " + why + "; the " + std::to_string(before) +
                   " rounds before it were consumed too, round.attempts_max = " + std::to_string(job_.spec.round.attempts_max));
  round_->consumed = shortened(why, kErrorTextBytesMax);
  open_failures_ = 0;
  make_same_model();
}

// Members that can take part in nothing alike before the ABORT of theirs, which does not come: the round that they
// are bound to is over, and they take part in the next.
bool JobRunner::consume_endless(Instant now, const std::string& why) {
  if (!secure() || job_.evaluating()) return false;
  std::size_t connected = 0, bound = 0;
  for (const auto& [key, node] : services_.registry.nodes()) {
    const auto declined = not_before_.find(key);
    const bool willing = declined == not_before_.end() || declined->second.until != Instant::max();
    if (node.summary.revoked || !node.link || node.summary.role != Role::kClient || !services_.registry.vouched(node) || !willing) continue;
    ++connected;
    bound += sits_out(key) ? 1 : 0;
  }
  if (bound == 0 || connected < selection().min_clients) return false;
  wants_.reset();
  waiting_ = false;
  stuck_since_.reset();
  Round round;
  // An attempt of its own: the latest was abandoned, and has its end in the audit log.
  round.key = {job_.id, job_.next_round(), job_.summary.attempt + 1};
  round.row.model = job_.summary.model;
  round.row.started = now;
  round.frozen = true;  // takes nothing: it only ends
  round_ = std::move(round);
  consume(now, why);
  return true;
}

void JobRunner::make_same_model() {
  round_->manifest = services_.out.next_ticket();
  services_.out.now(FetchBlob{round_->manifest, PeerKey{}, job_.summary.model});
}

bool JobRunner::same_model_fetched(const BlobFetched& event, Instant now) {
  if (!round_ || round_->consumed.empty() || event.ticket != round_->manifest) return false;
  round_->manifest = 0;
  auto manifest = decode_manifest(event.content);
  if (!manifest) {
    end(JobState::kFailed, now, "the latest model: " + manifest.error().message);
    return true;
  }
  manifest->version = round_->key.round;
  round_->work = services_.out.next_ticket();
  services_.out.now(StartWork{round_->work, PutBlob{encode(*manifest)}});
  return true;
}

void JobRunner::same_model_made(const BlobPut& made, Instant now) {
  ModelRow same = job_.models.rbegin()->second;
  same.manifest = made.blob;
  commit(now, std::move(same));
}

// Storing one small blob failed: the disk may have room again.
void JobRunner::same_model_failed(const Error& error, Instant now) {
  if (++open_failures_ > job_.spec.round.attempts_max)
    return end(JobState::kFailed, now, to_text(round_->key) + " was consumed, and its model's manifest cannot be stored: " + error.message);
  services_.out.now(SetTimer{timer("phase"), kStoreAgain});
}

}  // namespace covey
