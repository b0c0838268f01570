// Nodes come and go while a job runs.
#include "coordinator/job_runner.h"

namespace covey {
namespace {

constexpr Duration kRelinkWait = std::chrono::seconds(1);  // between offers to a client that keeps reconnecting

}  // namespace

void JobRunner::node_joined(const PeerKey& peer, Instant now) {
  // Another process may be set otherwise, have its work behind it, or what failed mended: what it said is asked again.
  // What it did to an attempt stands.
  if (const auto at = not_before_.find(peer); at != not_before_.end() && !at->second.caught && !at->second.held_up)
    not_before_.erase(at);
  show_again(peer, now);
  if (keys_lost(now)) return;
  if (!round_) return open_round(now);
  const auto at = round_->members.find(peer);
  if (at == round_->members.end() || round_->frozen) return;
  switch (at->second.state) {
    case MemberState::kQueued:
    case MemberState::kFetching:
    case MemberState::kChecking:
    case MemberState::kDelivered:
    case MemberState::kDeclined:
    case MemberState::kFailed:
    case MemberState::kRefused:
    case MemberState::kRevoked: return;  // its part is here, or over
    default: break;
  }
  Node* node = services_.registry.find(peer);
  if (node->engaged != 0 && node->engaged != job_.id) return;  // it works for another job
  at->second.state = MemberState::kOffered;
  node->engaged = job_.id;
  offer(peer, now);
}

void JobRunner::node_relinked(const PeerKey& peer, Instant now) {
  show_again(peer, now);
  if (!round_ || round_->frozen) return;
  const auto at = round_->members.find(peer);
  if (at == round_->members.end() || now - at->second.offered < kRelinkWait) return;
  if (at->second.state != MemberState::kOffered && at->second.state != MemberState::kWorking) return;
  Node* node = services_.registry.find(peer);
  if (node == nullptr || !node->link || (node->engaged != 0 && node->engaged != job_.id)) return;
  node->engaged = job_.id;
  offer(peer, now);
}

void JobRunner::node_left(const PeerKey& peer, Instant now) {
  if (!round_ || round_->frozen) return;
  const auto at = round_->members.find(peer);
  if (at == round_->members.end()) return;
  switch (at->second.state) {
    case MemberState::kQueued:
    case MemberState::kFetching: interrupt(at->second); [[fallthrough]];
    case MemberState::kOffered:
    case MemberState::kWorking:
    case MemberState::kLost: at->second.state = MemberState::kLeft; break;
    default: return;
  }
  fetch_queued(now);
  consider(now);
}

void JobRunner::node_lost(const PeerKey& peer, Instant now) {
  if (!round_ || round_->frozen) return;
  const auto at = round_->members.find(peer);
  if (at == round_->members.end()) return;
  MemberState& state = at->second.state;
  if (state != MemberState::kOffered && state != MemberState::kWorking) return;
  state = MemberState::kLost;
  consider(now);
}

void JobRunner::node_revoked(const PeerKey& peer, Instant now) {
  if (const auto known = not_before_.find(peer); known != not_before_.end()) {
    Batch batch;
    if (known->second.kept) batch.erase(rest_key(job_.id, peer));
    if (known->second.barred) batch.erase(liar_key(job_.id, peer));
    not_before_.erase(known);
    if (!batch.empty()) services_.out.persist(std::move(batch));
  }
  // Who would not aggregate with it may do so without it: asked once more.
  std::erase_if(not_before_, [](const auto& one) {
    const Refusal& word = one.second;
    return word.reason == DeclineReason::kPolicy && !word.caught && !word.kept && !word.barred;
  });
  if (!round_) return;
  const auto at = round_->members.find(peer);
  if (at == round_->members.end()) return;
  Member& member = at->second;
  if (secure_ && secure_->joined(peer) && secure_->takes_part(peer)) {
    // After the members' COMMIT there is no other sum of theirs, with it or without.
    if (secure_->decided() || (secure_->masking_over() && !secure_->can_abort())) {
      Batch batch;
      services_.journal.write(batch, now, job_.id,
                              "round " + std::to_string(round_->key.round) + ": " + services_.registry.name_of(peer) +
                                  " was revoked after the members had agreed on the sum: it is in this round's model");
      services_.out.persist(std::move(batch));
      return;
    }
    // Its masks are, or will be, in the others' vectors; a roster without it needs fresh keys of everyone.
    interrupt(member);
    return abandon(now, "a client of its roster was revoked", Duration{}, Fault::kRevocation);
  }
  const bool delivered = member.state == MemberState::kDelivered;
  if (sums() && (delivered || member.state == MemberState::kChecking)) {
    member.state = MemberState::kRevoked;
    release(member);
    return abandon(now, "a client was revoked whose update is in the sum", Duration{}, Fault::kRevocation);
  }
  // Its update is in the sum that is being made. That sum must not be released, and another one of
  // this attempt would be a second release of the others' updates: the attempt ends.
  if (delivered && round_->frozen)
    return abandon(now, "a client whose update is in the frozen sum was revoked", Duration{}, Fault::kRevocation);
  interrupt(member);
  member.state = MemberState::kRevoked;
  if (delivered) {  // what it gave does not count either
    Batch batch;
    batch.erase(update_key(round_->key, peer));
    services_.out.persist(std::move(batch));
    release(member);
  }
  fetch_queued(now);
  consider(now);
}

}  // namespace covey
