// From the closing of a round to the work on its sum: the freeze and its ledger record.
#include "coordinator/job_runner.h"

namespace covey {

void JobRunner::freeze(Instant now) {
  COVEY_CHECK(!round_->frozen);
  if (!close_sum()) return;
  rest_dragging(now);
  round_->frozen = true;
  for (auto& [peer, member] : round_->members) {
    if (member.state == MemberState::kDelivered)
      round_->row.survivors.push_back(peer);
    else
      interrupt(member);
  }
  round_->row.ledger = services_.records.next_release();
  const auto count = static_cast<std::uint32_t>(round_->row.survivors.size());
  const ReleaseRecord release{now, round_->key, count, contributions_digest(contributions()), {}};
  AuditEntry frozen = act(AuditKind::kRoundFrozen, now);
  frozen.subject = release.contributions;
  frozen.number = count;
  Batch batch;
  batch.put(round_key(round_->key), encode(round_->row));
  round_->freeze = services_.records.persist_release(std::move(batch), release, std::move(frozen));
}

// An evaluation contributes its figures alone: no update, the zero id.
std::vector<NamedContribution> JobRunner::contributions() const {
  std::vector<NamedContribution> all;
  for (const PeerKey& peer : round_->row.survivors) {
    const Member& member = round_->members.at(peer);
    if (member.update.update)
      all.push_back({peer, {*member.update.update, weight(member)}});
    else
      all.push_back({peer, {BlobRef{}, member.update.examples}});
  }
  return all;
}

void JobRunner::release_frozen(Instant now) {
  if (secure_) return agree(now);
  if (round_->row.kind == RoundKind::kEvaluate) return commit(now, std::nullopt);
  Aggregate work;
  for (const NamedContribution& named : contributions()) work.contributions.push_back(named.contribution);
  const ModelRow& latest = job_.models.rbegin()->second;
  work.key = round_->key;
  work.job = job_.spec;
  work.model = latest.manifest;
  work.optimizer_state = latest.optimizer_state;
  work.next_version = round_->key.round;
  services_.blobs.making(job_.id);
  round_->work = services_.out.next_ticket();
  services_.out.now(StartWork{round_->work, std::move(work)});
}

void JobRunner::persisted(Instant now) {
  if (!round_ || round_->freeze == 0 || !services_.out.durable(round_->freeze)) return;
  round_->freeze = 0;
  release_frozen(now);
}

// ---- after a restart

// A frozen round has exactly the updates that its ledger record allows to release.
Result<void> JobRunner::check_frozen() const {
  if (!round_->frozen || sums()) return {};  // a sum is gone with its process: start() abandons the attempt
  const auto bad = [&](const std::string& what) {
    return unexpected(ErrorCode::kCorrupted, "row " + round_key(round_->key) + ": " + what);
  };
  for (const PeerKey& peer : round_->row.survivors)
    if (round_->members.at(peer).state != MemberState::kDelivered)
      return bad("the update of " + short_hex(peer) + " is missing");
  if (round_->tally().delivered != round_->row.survivors.size())
    return bad("it has updates that came after it was frozen");
  const RecordBook::Release* release = services_.records.latest_release(job_.id);
  if (release == nullptr || release->sequence != round_->row.ledger || release->record.round != round_->key ||
      release->record.contributions != contributions_digest(contributions()))
    return bad("its ledger record " + std::to_string(round_->row.ledger) + " does not allow this release");
  return {};
}

// No deadline and no further update: what was frozen is released, or nothing.
void JobRunner::resume_frozen(Instant now) {
  bool revoked = false;
  for (const PeerKey& peer : round_->row.survivors) {
    Member& member = round_->members.at(peer);
    Node* const node = services_.registry.find(peer);
    revoked = revoked || node == nullptr;
    if (secure_ && node != nullptr && node->engaged == 0) node->engaged = job_.id;
    if (!member.update.update) continue;
    services_.blobs.hold(member.update.update->id);
    member.holds_blob = true;
  }
  services_.out.log(LogLevel::kInfo, "frozen_round_resumed",
                    {{"job", job_.id},
                     {"round", round_->key.round},
                     {"attempt", round_->key.attempt},
                     {"survivors", round_->row.survivors.size()},
                     {"ledger", round_->row.ledger}});
  round_->deadline = now;  // over; what votes and shares may wait beyond it counts from here
  if (revoked && (!secure_ || (!secure_->decided() && secure_->can_abort())))  // we crashed between the revocation and the end of the attempt
    return abandon(now, "a client whose update is in the frozen sum was revoked", Duration{}, Fault::kRevocation);
  release_frozen(now);
}

}  // namespace covey
