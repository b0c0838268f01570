// One member of a round: its answers and its update.
#include "aggregation/fixed_sum.h"
#include <algorithm>

#include "coordinator/job_runner.h"
#include "core/protocol/limits.h"

namespace covey {
namespace {

// How long a client that declined is not asked again for this job; it is sooner when it rejoins.
Duration patience(DeclineReason reason) {
  switch (reason) {
    case DeclineReason::kBusy: return std::chrono::seconds(5);
    case DeclineReason::kSchedule: return std::chrono::minutes(10);
    case DeclineReason::kInternal: return std::chrono::seconds(30);
    case DeclineReason::kPolicy:
    case DeclineReason::kMemory:
    case DeclineReason::kData: break;
  }
  return Duration::max();
}

constexpr Duration kFetchTurn = std::chrono::seconds(30);  // of one update, at least, while others wait
constexpr std::size_t kDeclineTextBytes = 256;  // kept of a client's reason
constexpr std::size_t kDeclinesNamed = 20;      // in the journal, of one round

Instant later(Instant now, Duration wait) { return wait == Duration::max() ? Instant::max() : now + wait; }

bool has_update(MemberState state) {
  return state == MemberState::kQueued || state == MemberState::kFetching || state == MemberState::kChecking ||
         state == MemberState::kDelivered;
}

Error closed(const RoundKey& key) { return Error{ErrorCode::kUnavailable, to_text(key) + " closed"}; }

}  // namespace

Member* JobRunner::member_of(const RoundKey& key, const PeerKey& peer) {
  if (!round_ || round_->key != key) return nullptr;
  const auto at = round_->members.find(peer);
  return at == round_->members.end() ? nullptr : &at->second;
}

std::pair<const PeerKey, Member>* JobRunner::member_with(Ticket ticket) {
  if (!round_ || ticket == 0) return nullptr;
  for (auto& entry : round_->members)
    if (entry.second.ticket == ticket) return &entry;
  return nullptr;
}

bool JobRunner::sums() const {
  return job_.spec.durability == Durability::kAttempt && round_ && round_->row.kind == RoundKind::kTrain;
}

std::uint64_t JobRunner::weight(const Member& member) const {
  if (secure()) return 1;  // how many examples stand behind masked vectors is inside them
  return static_cast<std::uint64_t>(weight_of(member.update.examples, round_->row.cohort.size()));
}

void JobRunner::release(Member& member) {
  if (!member.holds_blob) return;
  member.holds_blob = false;
  member.kept = false;
  services_.blobs.drop(member.update.update->id);
}

void JobRunner::release_all() {
  for (auto& [peer, member] : round_->members) release(member);
  while (drop_unclaimed()) {
  }
}

// ---- parts from before a restart

std::vector<BlobRef> JobRunner::take_parts(std::vector<BlobRef> parts) {
  if (!round_ || round_->frozen || sums() || round_->row.kind != RoundKind::kTrain) return parts;
  std::erase_if(parts, [&](const BlobRef& part) {
    if (part.size != update_bytes_of(job_.spec) || unclaimed_.size() >= fetches_max() || held() >= updates_max()) return false;
    services_.blobs.hold(part.id);
    unclaimed_.insert(part.id);
    return true;
  });
  return parts;
}

void JobRunner::recognise_part(Member& member) {
  if (!member.update.update || unclaimed_.erase(member.update.update->id) == 0) return;
  if (member.holds_blob) services_.blobs.drop(member.update.update->id);  // twice
  member.holds_blob = true;
  member.kept = true;
}

bool JobRunner::drop_unclaimed() {
  if (unclaimed_.empty()) return false;
  services_.blobs.drop(*unclaimed_.begin());
  unclaimed_.erase(unclaimed_.begin());
  return true;
}

void JobRunner::interrupt(Member& member) {
  if (member.state == MemberState::kFetching) {
    services_.out.now(CancelFetch{member.ticket});
    ++member.turn;  // it had one, or who announces another update again and again would be next for ever
  }
  if (member.state == MemberState::kChecking) services_.out.now(CancelWork{member.ticket});
  member.ticket = 0;
  if (member.state == MemberState::kDelivered) return;
  release(member);
  if (has_update(member.state)) member.state = MemberState::kWorking;
}

// ---- answers to the offer

void JobRunner::round_accepted(const Node& from, const RoundAccept& message, Instant now) {
  Member* member = member_of(message.key, from.summary.key);
  if (member == nullptr) return;
  if (member->state == MemberState::kOffered) member->state = MemberState::kWorking;
  unanswered_.erase(from.summary.key);
  if (secure_ && member->state == MemberState::kWorking) secure_->tell(from.summary.key, now);
}

// Its own word, which takes nothing from ours.
void JobRunner::declined(const PeerKey& peer, Refusal refusal) {
  const auto known = not_before_.find(peer);
  if (known != not_before_.end() && (known->second.caught || known->second.kept)) return;
  not_before_[peer] = std::move(refusal);
}

void JobRunner::round_declined(Node& from, const RoundDecline& message, Instant now) {
  Member* member = member_of(message.key, from.summary.key);
  if (member == nullptr || round_->frozen) return;
  if (member->state != MemberState::kOffered && member->state != MemberState::kWorking) return;
  member->state = MemberState::kDeclined;
  release(*member);
  from.engaged = 0;
  // One that was not shown yet how an attempt ended refuses another: it is shown that, and asked again.
  const bool uninformed = message.reason == DeclineReason::kPolicy && !informed_.contains(from.summary.key) &&
                          std::any_of(aborted_.begin(), aborted_.end(), [&](const auto& entry) { return entry.second->masks(from.summary.key); });
  if (uninformed) {
    informed_.insert(from.summary.key);
    show_again(from.summary.key, now);
  }
  declined(from.summary.key, Refusal{later(now, patience(uninformed ? DeclineReason::kBusy : message.reason)), message.reason,
                                     shortened(message.text, kDeclineTextBytes)});
  services_.out.log(LogLevel::kInfo, "round_declined",
                    {{"job", job_.id}, {"round", message.key.round}, {"attempt", message.key.attempt},
                     {"node", from.summary.name}, {"reason", name_of(message.reason)},
                     {"text", shortened(message.text, kErrorTextBytesMax)}});
  journal_word(from, message.key, {message.reason, "declined (" + std::string(name_of(message.reason)) + "): " + message.text}, now);
  consider(now);
}

// Once for each client and reason in a round, whatever its attempts; a large cohort must not fill the journal.
void JobRunner::journal_word(const Node& from, const RoundKey& key, const Word& word, Instant now) {
  if (declines_named_.first != key.round) declines_named_ = {key.round, {}};
  auto& named = declines_named_.second;
  if (named.size() > kDeclinesNamed || !named.insert({from.summary.key, word.reason}).second) return;
  const std::string round = "round " + std::to_string(key.round) + ": ";
  Batch batch;
  services_.journal.write(batch, now, job_.id,
                          named.size() > kDeclinesNamed
                              ? round + "more clients declined or failed; the coordinator's log names them (round_declined, client_failed)"
                              : round + from.summary.name + " " + word.text);
  services_.out.persist(std::move(batch));
}

void JobRunner::round_failed(Node& from, const RoundFailed& message, Instant now) {
  Member* member = member_of(message.key, from.summary.key);
  if (member == nullptr || round_->frozen) return;
  if (member->state != MemberState::kOffered && member->state != MemberState::kWorking) return;
  member->state = MemberState::kFailed;
  release(*member);
  from.engaged = 0;
  declined(from.summary.key, Refusal{later(now, patience(DeclineReason::kInternal)), DeclineReason::kInternal, {}});
  services_.out.log(LogLevel::kWarning, "client_failed",
                    {{"job", job_.id}, {"round", message.key.round}, {"attempt", message.key.attempt},
                     {"node", from.summary.name}, {"reason", shortened(message.error.message, kErrorTextBytesMax)}});
  last_failure_ = {message.key.round, from.summary.name + ": " + shortened(message.error.message, kDeclineTextBytes)};
  journal_word(from, message.key, {std::nullopt, "failed to train: " + message.error.message}, now);
  consider(now);
}

// ---- updates

Result<void> JobRunner::judge_update(const UpdateReady& message) const {
  if (secure())
    return unexpected(ErrorCode::kInvalidUpdate, "this job aggregates securely and takes masked vectors alone");
  if (message.model != round_->row.model.id)
    return unexpected(ErrorCode::kInvalidUpdate, "the update starts from model " + short_hex(message.model) + ", " +
                                                     to_text(round_->key) + " offers " + short_hex(round_->row.model.id));
  if (round_->row.kind == RoundKind::kEvaluate) {
    if (message.update)
      return unexpected(ErrorCode::kInvalidUpdate, "an evaluation round takes no update, only its figures");
    return {};
  }
  if (!message.update) return unexpected(ErrorCode::kInvalidUpdate, "the update itself is missing");
  const std::uint64_t expected = planner_.exchanged() * sizeof(float);
  if (message.update->size != expected)
    return unexpected(ErrorCode::kInvalidUpdate, "the update has " + std::to_string(message.update->size) +
                                                     " bytes; this job's have " + std::to_string(expected));
  if (message.examples == 0 || message.examples > kExamplesMax)
    return unexpected(ErrorCode::kInvalidUpdate, "the update claims " + std::to_string(message.examples) +
                                                     " training examples; it must be from 1 to " +
                                                     std::to_string(kExamplesMax));
  return {};
}

void JobRunner::update_ready(const Node& from, const UpdateReady& message, Instant now) {
  const PeerKey peer = from.summary.key;
  const auto refuse = [&](Error error) { services_.out.send(*from.link, UpdateRefused{message.key, std::move(error)}); };
  if (!round_ || round_->key != message.key) return refuse(closed(message.key));
  Member* member = member_of(message.key, peer);
  if (member == nullptr)
    return refuse(Error{ErrorCode::kPermissionDenied, "this client was not asked to take part in " + to_text(message.key)});
  if (member->state == MemberState::kDelivered) {
    if (member->update.update == message.update) return services_.out.send(*from.link, UpdateAccepted{message.key});
    Error other{ErrorCode::kAlreadyExists, "another update of this client counts already in " + to_text(message.key)};
    audit_conflict(peer, *member, other, now);
    return refuse(std::move(other));
  }
  if (round_->frozen || (round_->closing && !has_update(member->state))) return refuse(closed(message.key));
  if (member->state == MemberState::kRefused)
    return refuse(Error{ErrorCode::kInvalidUpdate, "an update of this client was refused already in " + to_text(message.key)});
  if (has_update(member->state)) {
    if (member->update.update == message.update) return;  // it is on its way
    if (round_->closing || (sums() && member->state == MemberState::kChecking))  // it may be in the sum already
      return refuse(Error{ErrorCode::kAlreadyExists, "another update of this client is being added in " + to_text(message.key)});
    interrupt(*member);  // the client trained again: only what it has now can be fetched
  }
  if (member->update.update != message.update) release(*member);  // a part of an earlier one
  member->update = message;
  if (const auto judged = judge_update(message); !judged) {
    refuse_update(peer, *member, judged.error(), now);
    return;
  }
  if (!message.update) return accept_update(peer, *member, now);
  recognise_part(*member);
  member->state = MemberState::kQueued;
  fetch_queued(now);
}

std::uint32_t JobRunner::fetches_max() const { return std::max(1U, kFetchesMax / services_.load.running); }

// What is kept of one counts as a whole: it may be nearly that.
std::uint64_t JobRunner::held() const {
  const RoundTally tally = round_->tally();
  return std::uint64_t{tally.fetching} + tally.kept + unclaimed_.size() + (sums() ? 0 : tally.delivered);
}

// The least turn; of those, one of which a part is here.
std::pair<const PeerKey, Member>* JobRunner::next_queued() {
  const auto before = [](const Member& a, const Member& b) {
    return std::pair(a.turn, !a.kept) < std::pair(b.turn, !b.kept);
  };
  std::pair<const PeerKey, Member>* next = nullptr;
  for (auto& entry : round_->members)
    if (entry.second.state == MemberState::kQueued && (next == nullptr || before(entry.second, next->second))) next = &entry;
  return next;
}

void JobRunner::fetch_queued(Instant now) {
  if (!round_ || round_->frozen) return;
  if (round_->closing) return;
  const std::uint32_t share = fetches_max();
  for (std::uint32_t running = round_->tally().fetching; running < share; ++running) {
    auto* const next = next_queued();
    if (next == nullptr || !make_room(next->second)) return;
    auto& [peer, member] = *next;
    if (!member.holds_blob) services_.blobs.hold(member.update.update->id);
    member.holds_blob = true;
    member.kept = false;
    member.state = MemberState::kFetching;
    member.fetching_since = now;
    member.ticket = services_.out.next_ticket();
    services_.out.now(FetchBlob{member.ticket, peer, *member.update.update, sums() ? Keep::kUnfinished : Keep::kDurably});
  }
}

// Within the quota. Parts that are kept give way to whoever is next, or they could hold a job up for good; what
// is fetched or delivered does not.
bool JobRunner::make_room(const Member& next) {
  if (next.kept) return true;  // it has its room
  while (held() >= updates_max())
    if (!drop_part()) return false;
  return true;
}

// So that what slow senders leave here is bounded, quota or not, no more parts are kept than updates fetched.
void JobRunner::keep_part(Member& member) {
  member.ticket = 0;
  ++member.turn;
  member.kept = member.holds_blob;
  while (round_->tally().kept + unclaimed_.size() > fetches_max()) COVEY_CHECK(drop_part());
}

bool JobRunner::drop_part() {
  if (drop_unclaimed()) return true;  // its sender may never come back
  const auto before = [](const Member& a, const Member& b) {  // who waits for no turn gives way first
    const auto rank = [](const Member& m) { return std::pair(m.state != MemberState::kQueued, m.turn); };
    return rank(a) < rank(b);
  };
  Member* last = nullptr;
  for (auto& [peer, member] : round_->members)
    if (member.kept && (last == nullptr || before(*last, member))) last = &member;
  if (last == nullptr) return false;
  release(*last);
  return true;
}

// A sender that is slow, by its link or by intent, keeps its place only while nobody waits for it. What
// has come is kept for its next turn.
void JobRunner::rotate_fetches(Instant now) {
  if (!round_ || round_->frozen || round_->closing) return;
  const auto queued = [](const auto& entry) { return entry.second.state == MemberState::kQueued; };
  if (std::none_of(round_->members.begin(), round_->members.end(), queued)) return;
  const Duration patience = std::max<Duration>(kFetchTurn, job_.spec.round.deadline / 8);
  for (auto& [peer, member] : round_->members) {
    if (member.state != MemberState::kFetching || now - member.fetching_since < patience) continue;
    services_.out.now(CancelFetch{member.ticket, Unfinished::kKeep});
    member.state = MemberState::kQueued;
    keep_part(member);
  }
  fetch_queued(now);
}

void JobRunner::accept_update(const PeerKey& peer, Member& member, Instant now) {
  member.ticket = 0;
  member.state = MemberState::kDelivered;
  round_->progressed = now;
  if (sums()) {
    release(member);
  } else {
    Batch batch;
    batch.put(update_key(round_->key, peer), encode(UpdateRow{now, member.norm, member.update, member.note}));
    services_.out.persist(std::move(batch));
  }
  Node* node = services_.registry.find(peer);
  COVEY_CHECK(node != nullptr);
  // Under secure aggregation its part is not over: it has yet to vote and to reveal its shares.
  if (node->engaged == job_.id && !secure_) node->engaged = 0;
  if (node->link) services_.out.send(*node->link, UpdateAccepted{round_->key});
  services_.out.log(LogLevel::kInfo, "update_accepted",
                    {{"job", job_.id}, {"round", round_->key.round}, {"attempt", round_->key.attempt},
                     {"node", node->summary.name}, {"examples", member.update.examples}, {"norm", member.norm},
                     {"delivered", round_->tally().delivered}, {"target", round_->row.target}});
  fetch_queued(now);
  consider(now);
}

// A client can repeat this at will: all are refused, the first few of an attempt are kept for ever.
void JobRunner::audit_conflict(const PeerKey& peer, Member& member, const Error& error, Instant now) {
  if (member.conflicts >= kConflictsAudited) return;
  ++member.conflicts;
  AuditEntry refused = act(AuditKind::kUpdateRefused, now);
  refused.who = peer;
  refused.text = error.message;
  services_.records.persist({}, {std::move(refused)});
}

void JobRunner::refuse_update(const PeerKey& peer, Member& member, Error error, Instant now) {
  interrupt(member);
  member.state = MemberState::kRefused;
  Node* node = services_.registry.find(peer);
  COVEY_CHECK(node != nullptr);
  if (node->engaged == job_.id) node->engaged = 0;
  error.message = shortened(std::move(error.message), kErrorTextBytesMax);
  Batch batch;
  services_.journal.write(batch, now, job_.id,
                          "round " + std::to_string(round_->key.round) + ": update of " + node->summary.name +
                              " refused: " + error.message);
  AuditEntry refused = act(AuditKind::kUpdateRefused, now);
  refused.who = peer;
  refused.text = error.message;
  services_.records.persist(std::move(batch), {std::move(refused)});
  services_.out.log(LogLevel::kWarning, "update_refused",
                    {{"job", job_.id}, {"round", round_->key.round}, {"attempt", round_->key.attempt},
                     {"node", node->summary.name}, {"reason", error.message}});
  if (node->link) services_.out.send(*node->link, UpdateRefused{round_->key, std::move(error)});
  fetch_queued(now);
  consider(now);
}

}  // namespace covey
