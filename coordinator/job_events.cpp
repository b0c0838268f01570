// What timers, blobs and work mean to a job. Declared in job_runner.h.
#include "coordinator/job_runner.h"

namespace covey {

bool JobRunner::timer_fired(const std::string& name, Instant now) {
  if (name == timer("phase")) {
    phase_late(now);
    return true;
  }
  if (name == timer("abort")) {
    abort_over(now);
    return true;
  }
  if (name == timer("time")) {
    time_passed(now);
    return true;
  }
  if (name == timer("pause")) {
    paused_ = false;
    open_round(now);
    return true;
  }
  if (name == timer("model")) {
    if (job_.summary.state == JobState::kRunning && job_.models.empty() && init_ == 0 && init_manifest_ == 0) make_model(now);
    return true;
  }
  if (name == timer("return")) {
    if (!round_ || round_->frozen) return true;
    for (const auto& [peer, member] : round_->members) {
      const Node* node = services_.registry.find(peer);
      if (node != nullptr && !node->link) node_lost(peer, now);
      if (!round_ || round_->frozen) return true;
    }
    return true;
  }
  if (name != timer("deadline")) return false;
  if (job_.summary.state != JobState::kRunning) return true;
  if (!round_) {
    if (job_.evaluating())
      end(JobState::kFinished, now,
          "the final evaluation did not succeed: " + (job_.summary.text.empty() ? "no client was there" : job_.summary.text));
    return true;
  }
  if (round_->frozen) return true;
  const RoundTally tally = round_->tally();
  if (tally.delivered >= needed() && (!secure_ || secure_->can_freeze())) {
    rest_late(now);
    freeze(now);
    return true;
  }
  rest_silent(now);
  abandon(now,
          "at the deadline " + std::to_string(tally.delivered) + " of at least " + std::to_string(needed()) +
              " updates were there",
          Duration{});
  return true;
}

bool JobRunner::blob_fetched(const BlobFetched& event, Instant now) {
  if (let_go_fetched(event)) return true;
  if (letter_came(event, now)) return true;
  if (event.ticket == init_manifest_) {
    init_manifest_ = 0;
    model_ready(event, now);
    return true;
  }
  if (same_model_fetched(event, now)) return true;
  if (round_ && event.ticket == round_->manifest) {
    round_->manifest = 0;
    next_model_ready(event, now);
    return true;
  }
  auto* const entry = member_with(event.ticket);
  if (entry == nullptr) return false;
  Member& member = entry->second;
  member.state = MemberState::kChecking;
  member.ticket = services_.out.next_ticket();
  if (secure_) {
    services_.out.now(StartWork{member.ticket, secure_->check(*member.update.update, job_.spec)});
    return true;
  }
  CheckUpdate work{*member.update.update, planner_.exchanged(), job_.spec.update, std::nullopt, job_.id};
  if (sums()) work.sum = SumInto{round_->key, weight(member)};
  services_.out.now(StartWork{member.ticket, std::move(work)});
  return true;
}

bool JobRunner::blob_failed(const BlobFailed& event, Instant now) {
  if (unwanted_models_.erase(event.ticket) != 0) return true;
  if (secure_ && secure_->blob_failed(event)) return true;
  for (const auto& [key, attempt] : aborted_)
    if (attempt->blob_failed(event)) return true;
  if (event.ticket == init_manifest_ || (round_ && event.ticket == round_->manifest)) {
    end(JobState::kFailed, now, "the model's manifest is gone: " + event.error.message);
    return true;
  }
  auto* const entry = member_with(event.ticket);
  if (entry == nullptr) return false;
  update_failed(entry->first, entry->second, event.error, now);
  return true;
}

// Ours to mend (its sender is away, we have no memory left): the client says again that its update
// is ready. Anything else is the update's own fault, and final for this attempt.
void JobRunner::update_failed(const PeerKey& peer, Member& member, const Error& error, Instant now) {
  const bool again = error.code == ErrorCode::kUnavailable || error.code == ErrorCode::kNotFound ||
                     error.code == ErrorCode::kResourceExhausted;
  if (!again) return refuse_update(peer, member, error, now);
  const Node* node = services_.registry.find(peer);
  keep_part(member);
  member.state = node != nullptr && node->link ? MemberState::kWorking : MemberState::kLost;
  if (services_.registry.may_log_refusal(peer, now))  // it can offer and withdraw at will
    services_.out.log(LogLevel::kWarning, "update_not_fetched",
                    {{"job", job_.id}, {"round", round_->key.round}, {"node", services_.registry.name_of(peer)},
                     {"reason", error.message}});
  fetch_queued(now);
  consider(now);
}

bool JobRunner::work_done(const WorkDone& event, Instant now) {
  if (let_go_done(event)) return true;
  if (secure_ && secure_->work_done(event)) return true;
  for (const auto& [key, attempt] : aborted_)
    if (attempt->work_done(event)) return true;
  if (event.ticket == init_) {
    init_ = 0;
    init_manifest_ = services_.out.next_ticket();
    services_.out.now(FetchBlob{init_manifest_, PeerKey{}, std::get<ModelReady>(event.value).model});
    return true;
  }
  if (round_ && event.ticket == round_->work) {
    round_->work = 0;
    if (!round_->consumed.empty())
      same_model_made(std::get<BlobPut>(event.value), now);
    else if (secure_)
      opened(std::get<Unmasked>(event.value), now);
    else
      aggregated(std::get<Aggregated>(event.value));
    return true;
  }
  auto* const entry = member_with(event.ticket);
  if (entry == nullptr) return false;
  if (secure_) {
    const auto counted = secure_->masked(entry->first, entry->second.note, std::get<MaskedChecked>(event.value).masked);
    if (!counted) {
      refuse_update(entry->first, entry->second, counted.error(), now);
      return true;
    }
  } else {
    entry->second.norm = std::get<UpdateChecked>(event.value).norm;
  }
  accept_update(entry->first, entry->second, now);
  return true;
}

bool JobRunner::work_failed(const WorkFailed& event, Instant now) {
  if (unwanted_work_.erase(event.ticket) != 0) return true;
  if (secure_ && secure_->work_failed(event)) return true;
  for (const auto& [key, attempt] : aborted_)
    if (attempt->work_failed(event)) return true;
  if (event.ticket == init_) {
    model_failed(event.error, now);
    return true;
  }
  if (round_ && event.ticket == round_->work) {
    round_->work = 0;
    if (!round_->consumed.empty())
      same_model_failed(event.error, now);
    else if (secure_)
      not_opened(event.error, now);
    else
      abandon(now, "aggregation failed: " + event.error.message, std::chrono::seconds(5));
    return true;
  }
  auto* const entry = member_with(event.ticket);
  if (entry == nullptr) return false;
  update_failed(entry->first, entry->second, event.error, now);
  return true;
}

}  // namespace covey
