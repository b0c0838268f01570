// When a job opens its next round, and with how many nodes: quotas, and the other jobs.
#include <algorithm>

#include "coordinator/job_runner.h"
#include "core/protocol/limits.h"

namespace covey {

JobRunner::Reach JobRunner::reach(Instant now) const {
  Reach reach;
  std::set<PeerKey> there;
  for (const auto& [key, node] : services_.registry.nodes()) {
    if (node.summary.revoked || !node.link || node.summary.role != Role::kClient) continue;
    const auto declined = not_before_.find(key);
    const bool refused = declined != not_before_.end() && now < declined->second.until;
    // Busy is soon over: most often with another job of ours, whose end it has not heard of yet.
    if (refused && declined->second.reason != DeclineReason::kBusy) continue;
    if (secure() && (!services_.registry.vouched(node) || sits_out(key))) continue;
    if (!planner_.plan(node.summary.capability)) continue;
    // Its link may be dead, and that found out later only: attempts are few, and a client that lives is soon heard.
    const auto offer = unanswered_.find(key);
    if (offer != unanswered_.end() && node.heard <= offer->second.last) continue;
    there.insert(key);
    if (node.engaged != 0) ++reach.engaged;
    if (node.engaged == 0 && !refused) reach.free.push_back(key);
  }
  reach.there = there.size();
  if (suspicion_.resting().empty()) return reach;
  for (const PeerKey& peer : suspicion_.resting_of(there, selection().min_clients)) {
    --reach.there;
    if (services_.registry.find(peer)->engaged != 0) --reach.engaged;
    std::erase(reach.free, peer);
  }
  return reach;
}

SelectionSpec JobRunner::selection() const {
  SelectionSpec selection = job_.spec.selection;
  if (job_.evaluating() && !secure()) selection.min_clients = 1;
  return selection;
}

// A round in progress keeps the room that it was opened with, also after a restart with less.
std::uint64_t JobRunner::updates_max() const {
  const std::uint64_t most = quota_of(job_.spec, services_.job_caps).update_bytes_max;
  if (most == 0) return ~std::uint64_t{0};
  const std::uint64_t count = std::max<std::uint64_t>(1, most / update_bytes_of(job_.spec));
  return round_ && !sums() ? std::max<std::uint64_t>(count, round_->row.target) : count;
}

CohortBounds JobRunner::bounds(std::size_t there) const {
  const std::uint32_t least = selection().min_clients;
  const QuotaSpec quota = quota_of(job_.spec, services_.job_caps);
  CohortBounds bounds{there};
  if (quota.nodes_max != 0) bounds.asked_max = std::max(least, quota.nodes_max);
  // What a round keeps until its commit must have room as a whole: further updates would wait for ever.
  if (!job_.evaluating() && job_.spec.durability == Durability::kUpdate)
    bounds.target_max = std::max(least, static_cast<std::uint32_t>(std::min<std::uint64_t>(updates_max(), bounds.target_max)));
  return bounds;
}

std::uint32_t JobRunner::demand(Instant now) const {
  if (job_.summary.state != JobState::kRunning) return 0;
  if (!round_ && !wants_) return 0;
  const std::size_t there = reach(now).there;
  const auto size = cohort_size(selection(), there, bounds(there));
  const auto has = static_cast<std::uint32_t>(round_ ? round_->members.size() : 0);
  return std::max(has, size ? size->asked : 0);
}

void JobRunner::open_round(Instant now) {
  if (job_.summary.state != JobState::kRunning || round_ || paused_ || job_.models.empty()) return;
  if (!wants_) wants_ = Waiting{now, ++services_.load.asked};
  services_.load.turn_due = true;
}

Turn JobRunner::take_turn(Instant now, std::uint32_t share) {
  COVEY_CHECK(wants_ && !round_);
  const SelectionSpec wanted = selection();
  Reach there = reach(now);
  CohortBounds limits = bounds(there.there);
  limits.asked_max = std::min(limits.asked_max, std::max(share, wanted.min_clients));
  const std::size_t free = there.free.size();
  auto selected = select_cohort(wanted, job_.spec.seed, job_.next_round(), job_.summary.attempt + 1, std::move(there.free), limits);
  if (selected) {
    auto attempt = begin_attempt(*selected);
    if (!attempt) {  // other clients may come, or go
      if (!waiting_ && job_.evaluating()) services_.out.now(SetTimer{timer("deadline"), evaluation_wait()});
      waiting_ = true;
      wait("waiting for other clients: " + attempt.error().message);
      return Turn::kWaits;
    }
    wants_.reset();
    begin_round(std::move(*selected), *std::move(attempt), now);
    return Turn::kTaken;
  }
  const Turn turn = there.there < std::max(1U, wanted.min_clients) ? Turn::kWaits : Turn::kStarved;
  if (turn == Turn::kWaits || there.engaged == 0) {
    wait_for_clients(free + there.engaged, wanted.min_clients, now);
    return turn;
  }
  if (waiting_ && job_.evaluating()) services_.out.now(CancelTimer{timer("deadline")});
  waiting_ = false;
  stuck_since_.reset();
  wait("waiting for its turn: " + std::to_string(free) + " of " + std::to_string(wanted.min_clients) +
       " clients are free, the others are busy");
  return turn;
}

void JobRunner::give_way(const JobRunner& to) {
  wait("waiting for its turn: job " + std::to_string(to.job_.id) + " has waited longer");
}

}  // namespace covey
