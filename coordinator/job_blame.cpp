// Who held an attempt up, who was caught at a lie, and who may have lied: whom a job does not ask, and for how long.
#include <algorithm>

#include "coordinator/job_runner.h"
#include "core/protocol/limits.h"

namespace covey {
namespace {

using Phase = SecureAttempt::Phase;
constexpr std::size_t kNamed = 5;

}  // namespace

// ---- who held an attempt up

void JobRunner::blame(const PeerKey& peer, const std::string& what, Instant now) {
  rest(peer, Rest::kCaught, now);
  AuditEntry blamed = act(AuditKind::kBlamed, now);
  blamed.who = peer;
  blamed.text = what;
  Batch batch;
  services_.journal.write(batch, now, job_.id,
                          "round " + std::to_string(round_->key.round) + ": " + services_.registry.name_of(peer) + " " + what);
  services_.records.persist(std::move(batch), {std::move(blamed)});
  services_.out.log(LogLevel::kWarning, "secagg_blamed",
                    {{"job", job_.id}, {"round", round_->key.round}, {"attempt", round_->key.attempt},
                     {"node", services_.registry.name_of(peer)}, {"what", what}});
}

// Those of the phase that just ended: complaints are judged while one is open.
void JobRunner::blame_all(const SecureAttempt& attempt, Instant now) {
  if (attempt.phase() != Phase::kMasking) return;
  for (const Blame& one : attempt.blame())
    if (const auto peer = attempt.peer_at(one.member)) blame(*peer, one.what, now);
}

// No client as it was released sends such a join, whoever else lies to it. It is the coordinator's word all the same: no
// stranger could check it, so the audit log has nothing of it.
void JobRunner::leave_unfit(Instant now) {
  for (const auto& [peer, what] : secure_->take_unfit()) {
    rest(peer, Rest::kCaught, now);
    if (const auto member = round_->members.find(peer); member != round_->members.end()) leave_out(peer, member->second);
    Batch batch;
    services_.journal.write(batch, now, job_.id,
                            shortened("round " + std::to_string(round_->key.round) + ": " + services_.registry.name_of(peer) +
                                          " sent a join that is none: " + what, kErrorTextBytesMax));
    services_.out.persist(std::move(batch));
  }
}

// Each attempt needs nearly all who are asked: whoever stopped one is not asked at once for the next. Who was
// caught is not asked again in this round.
void JobRunner::rest(const PeerKey& peer, Rest why, Instant now) {
  if (const auto known = not_before_.find(peer); known != not_before_.end() && known->second.barred) return;
  const bool caught = why == Rest::kCaught;
  Refusal refusal{caught ? Instant::max() : now + job_.spec.round.deadline,
                  caught ? DeclineReason::kPolicy : DeclineReason::kBusy,
                  caught ? "it was caught in an aggregation" : "it held up an aggregation", caught, false, why == Rest::kHeldUp};
  const auto known = not_before_.find(peer);
  refusal.kept = known != not_before_.end() && known->second.kept;
  not_before_[peer] = std::move(refusal);
  if (why != Rest::kLost) keep_rest(peer);
}

void JobRunner::keep_rest(const PeerKey& peer) {
  Refusal& refusal = not_before_.at(peer);
  const RestKind kind = refusal.suspected != 0 ? RestKind::kSuspected : refusal.caught ? RestKind::kCaught : RestKind::kHeldUp;
  Batch batch;
  batch.put(rest_key(job_.id, peer), encode(RestRow{kind, refusal.suspected, refusal.text}));
  services_.out.persist(std::move(batch));
  refusal.kept = true;
}

// What lasts one deadline begins it anew, after one restart: begun at each, it would have no end where a coordinator is
// restarted more often than a deadline passes.
void JobRunner::rest_again(Instant now) {
  Batch batch;
  for (auto& [peer, refusal] : not_before_) {
    if (!refusal.kept || !refusal.held_up) continue;
    refusal.until = now + job_.spec.round.deadline;
    refusal.kept = false;
    batch.erase(rest_key(job_.id, peer));
  }
  if (!batch.empty()) services_.out.persist(std::move(batch));
}

// A new process does mend what a lost connection broke; it mends nothing of one that was there and said nothing.
void JobRunner::rest_silent(Instant now) {
  if (!secure_ || round_->frozen || secure_->phase() != Phase::kMasking) return;
  for (const auto& [peer, member] : round_->members) {
    if (!secure_->masks(peer) || member.state == MemberState::kDelivered) continue;
    const bool there = member.state == MemberState::kOffered || member.state == MemberState::kWorking || dragged(peer, member, now);
    rest(peer, member.state == MemberState::kRefused ? Rest::kCaught : there ? Rest::kHeldUp : Rest::kLost, now);
  }
}

// Who confirmed and then sent nothing cost this round its whole deadline, also where it went away shortly before.
void JobRunner::rest_late(Instant now) {
  if (!secure_ || secure_->phase() != Phase::kMasking) return;
  std::vector<PeerKey> late;
  for (const auto& [peer, member] : round_->members) {
    const MemberState state = member.state;
    const bool awaited = state == MemberState::kOffered || state == MemberState::kWorking || state == MemberState::kFetching ||
                         state == MemberState::kLost || state == MemberState::kLeft;
    if (awaited && secure_->masks(peer)) late.push_back(peer);
  }
  rest_unneeded(late, now);
}

// Its word that it will not deliver is no excuse where it came long after everyone else's vectors: silence until then cost as
// much as silence until the deadline. Vectors that are wrong are nobody's accident.
bool JobRunner::dragged(const PeerKey& peer, const Member& member, Instant now) const {
  if (!secure_->masks(peer)) return false;
  switch (member.state) {
    case MemberState::kRefused: return true;
    case MemberState::kFailed:
    case MemberState::kDeclined:
    case MemberState::kLost:
    case MemberState::kLeft: return now - round_->progressed >= std::clamp<Duration>(job_.spec.round.deadline / 8, kPhaseLeast, kPhaseMost);
    default: return false;
  }
}

void JobRunner::rest_dragging(Instant now) {
  if (!secure_ || secure_->phase() != Phase::kMasking) return;
  std::vector<PeerKey> dragging;
  for (const auto& [peer, member] : round_->members)
    if (dragged(peer, member, now)) dragging.push_back(peer);
  rest_unneeded(dragging, now);
}

// Who accepted and says nothing. An offer may find a client at the first reading of its data, which takes what it takes:
// one that goes unanswered is excused, the next is not.
void JobRunner::rest_phase(Instant now) {
  std::vector<PeerKey> silent;
  for (const PeerKey& peer : secure_->awaited(round_->members))
    if (const Member& member = round_->members.at(peer); member.state != MemberState::kOffered) {
      silent.push_back(peer);
    } else {
      Unanswered& offers = unanswered_[peer];
      offers.last = member.offered;
      if (++offers.count > 1) silent.push_back(peer);
    }
  rest_unneeded(silent, now);
}

// Of votes and shares alike: who is there, and says nothing, ends the attempt as surely as one that lies.
void JobRunner::rest_unheard(Instant now) {
  if (secure_) rest_unneeded(secure_->unheard(), now);
}

// It costs the next round nothing where the others are enough for that; where they are not, that would only wait for them.
void JobRunner::rest_unneeded(const std::vector<PeerKey>& late, Instant now) {
  std::size_t others = 0;
  for (const auto& [key, node] : services_.registry.nodes()) {
    const auto declined = not_before_.find(key);
    const bool refused = declined != not_before_.end() && now < declined->second.until;
    const bool there = node.link && !node.summary.revoked && node.summary.role == Role::kClient;
    if (there && !refused && services_.registry.vouched(node) && !sits_out(key) && std::find(late.begin(), late.end(), key) == late.end())
      ++others;
  }
  if (others < job_.spec.selection.min_clients) return;
  for (const PeerKey& peer : late) rest(peer, Rest::kHeldUp, now);
}

// Who sat this round out may take part in the next; who was caught, once a round has come to something.
void JobRunner::free_after_commit(bool consumed, Batch& batch) {
  std::erase_if(not_before_, [&](const auto& entry) {
    const Refusal& refusal = entry.second;
    const bool stays = refusal.barred || (consumed && refusal.caught && (refusal.suspected == 0 || refusal.suspected == round_->key.round));
    const bool freed = refusal.reason == DeclineReason::kPolicy && !stays;
    if (freed && refusal.kept) batch.erase(rest_key(job_.id, entry.first));
    return freed;
  });
}

void JobRunner::erase_rests(Batch& batch) const {
  for (const auto& [peer, refusal] : not_before_) {
    if (refusal.barred) batch.erase(liar_key(job_.id, peer));
    if (refusal.kept) batch.erase(rest_key(job_.id, peer));
  }
  if (suspicion_.any()) batch.erase(suspicion_key(job_.id));
}

// ---- who lied

void JobRunner::bar(const PeerKey& peer, const std::string& what, Instant now) {
  Refusal& refusal = not_before_[peer];
  if (refusal.barred) return;
  const bool kept = refusal.kept;
  refusal = Refusal{Instant::max(), DeclineReason::kPolicy, "it " + what, true, true};
  AuditEntry blamed = act(AuditKind::kBlamed, now);
  blamed.who = peer;
  blamed.text = what;
  Batch batch;
  batch.put(liar_key(job_.id, peer), liar_value(what));
  if (kept) batch.erase(rest_key(job_.id, peer));
  services_.journal.write(batch, now, job_.id,
                          "round " + std::to_string(round_->key.round) + ": " + services_.registry.name_of(peer) + " " + what +
                              "; it is not asked again in this job");
  services_.records.persist(std::move(batch), {std::move(blamed)});
  services_.out.log(LogLevel::kWarning, "secagg_barred",
                    {{"job", job_.id}, {"round", round_->key.round}, {"attempt", round_->key.attempt},
                     {"node", services_.registry.name_of(peer)}, {"what", what}});
}

std::string JobRunner::named(const std::vector<std::uint32_t>& places) const {
  std::string names;
  for (std::size_t i = 0; i < std::min(places.size(), kNamed); ++i)
    if (const auto peer = secure_->peer_at(places[i])) names += (names.empty() ? "" : ", ") + services_.registry.name_of(*peer);
  return names + (places.size() > kNamed ? " and " + std::to_string(places.size() - kNamed) + " more" : "");
}

// A wrong share that could be done without: in the journal, and nobody rests for it.
void JobRunner::dispute(const Unmasked& value, Instant now) {
  if (!value.suspects.empty()) {
    Batch batch;
    services_.journal.write(batch, now, job_.id,
                            "round " + std::to_string(round_->key.round) + ": the shares of the masking keys of " + named(value.suspects) +
                                ", which dropped out, do not open them; what their neighbours masked with them did as well. They lied, or "
                                "members that held the shares");
    services_.out.persist(std::move(batch));
  }
  if (value.disputed.empty()) return;
  std::string pairs;
  for (std::size_t i = 0; i < std::min(value.disputed.size(), kNamed); ++i)
    pairs += (i == 0 ? "" : "; ") + named({value.disputed[i].first}) + " dealt it or " + named({value.disputed[i].second}) + " revealed it";
  Batch batch;
  services_.journal.write(batch, now, job_.id,
                          "round " + std::to_string(round_->key.round) + ": " + std::to_string(value.disputed.size()) +
                              " wrong shares were corrected, and which of two members lied is not proven: " + pairs +
                              (value.disputed.size() > kNamed ? "; ..." : ""));
  services_.out.persist(std::move(batch));
}

// Of those whose secrets did not open no more than A can have lied as dealers. Where there are more, holders of their
// shares lied, and who of them the shares do not tell: then nobody rests, for whoever lied would be the one that stays.
// Else they sit one round out if enough others are there.
std::string JobRunner::suspect(const Unmasked& value, Instant now) {
  if (value.suspects.empty()) return {};
  std::string seen = "the shares of the secrets of " + named(value.suspects) + " do not open what they committed to: ";
  if (value.suspects.size() > secure_->corrupt_max()) {
    seen += "that is more members than may lie (" + std::to_string(secure_->corrupt_max()) +
            "), so one that held their shares lied, with too few shares here to tell which";
  } else {
    seen += "they lied, or members that held them";
    std::set<PeerKey> resting;
    for (const std::uint32_t place : value.suspects)
      if (const auto peer = secure_->peer_at(place)) resting.insert(*peer);
    free_suspects();
    if (willing_without(resting) >= selection().min_clients) {
      for (const PeerKey& peer : resting) {
        Refusal& refusal = not_before_[peer];
        if (refusal.barred) continue;
        refusal = Refusal{Instant::max(), DeclineReason::kPolicy, "the shares of its secret did not open, which is its lie or another member's",
                          true, false, false, round_->key.round, refusal.kept};
        keep_rest(peer);
      }
      seen += "; they sit the next round out";
    }
  }
  Batch batch;
  services_.journal.write(batch, now, job_.id, shortened("round " + std::to_string(round_->key.round) + ": " + seen, kErrorTextBytesMax));
  services_.out.persist(std::move(batch));
  return "; " + seen;
}

bool JobRunner::is_willing(const PeerKey& peer, const Node& node) const {
  const auto declined = not_before_.find(peer);
  const bool willing = declined == not_before_.end() || declined->second.until != Instant::max();
  return !node.summary.revoked && node.link && node.summary.role == Role::kClient && services_.registry.vouched(node) && willing;
}

std::size_t JobRunner::willing_without(const std::set<PeerKey>& resting) const {
  const auto& nodes = services_.registry.nodes();
  return static_cast<std::size_t>(
      std::count_if(nodes.begin(), nodes.end(), [&](const auto& one) { return is_willing(one.first, one.second) && !resting.contains(one.first); }));
}

bool JobRunner::free_suspects() {
  Batch batch;
  const auto freed = std::erase_if(not_before_, [&](const auto& entry) {
    if (entry.second.suspected != 0 && entry.second.kept) batch.erase(rest_key(job_.id, entry.first));
    return entry.second.suspected != 0;
  });
  if (freed > 0) services_.out.persist(std::move(batch));
  return freed > 0;
}

// Whoever lied, its vector or its shares were in the sum, or it dealt what does not open. Where a liar is proven it is that one.
std::string JobRunner::spoiled(const Unmasked& value, Instant now) {
  if (!value.liars.empty() || round_->row.kind != RoundKind::kTrain) return {};
  Suspicion::Spoiled how;
  how.round = round_->key.round;
  how.members = {round_->row.survivors.begin(), round_->row.survivors.end()};
  for (const std::uint32_t place : value.suspects)
    if (const auto peer = secure_->peer_at(place)) how.members.insert(*peer);
  for (const auto& [peer, node] : services_.registry.nodes())
    if (is_willing(peer, node)) how.willing.push_back(peer);
  const std::size_t least = selection().min_clients;
  how.spare = how.willing.size() > least ? how.willing.size() - least : 0;
  how.seed = job_.spec.seed;
  suspicion_.spoiled(how);
  std::string seen;
  if (const auto& resting = suspicion_.resting(); !resting.empty()) {
    std::string names;
    for (std::size_t i = 0; i < std::min(resting.size(), kNamed); ++i)
      names += (names.empty() ? "" : ", ") + services_.registry.name_of(resting[i]);
    seen = "somebody lied in " + std::to_string(suspicion_.rounds()) + " rounds, and nothing proves who: " + names +
           (resting.size() > kNamed ? " and " + std::to_string(resting.size() - kNamed) + " more" : "") +
           " sit out until it is seen whether the others' sums open";
  }
  Batch batch;
  batch.put(suspicion_key(job_.id), encode(suspicion_));
  if (!seen.empty())
    services_.journal.write(batch, now, job_.id, shortened("round " + std::to_string(round_->key.round) + ": " + seen, kErrorTextBytesMax));
  services_.out.persist(std::move(batch));
  return seen.empty() ? "" : "; " + seen;
}

// ---- rows

Result<void> JobRunner::load_liar(const PeerKey& peer, ByteSpan value) {
  COVEY_TRY(const std::string what, liar_of_value(value));
  not_before_[peer] = Refusal{Instant::max(), DeclineReason::kPolicy, "it " + what, true, true};
  return {};
}

// What lasts one deadline begins it anew in rest_again().
Result<void> JobRunner::load_rest(const PeerKey& peer, ByteSpan value) {
  COVEY_TRY(const RestRow row, decode_rest_row(value));
  const bool held_up = row.kind == RestKind::kHeldUp;
  not_before_[peer] = Refusal{Instant::max(), held_up ? DeclineReason::kBusy : DeclineReason::kPolicy, row.text, !held_up, false, held_up,
                              row.kind == RestKind::kSuspected ? row.round : 0, true};
  return {};
}

Result<void> JobRunner::load_suspicion(ByteSpan value) {
  COVEY_TRY(suspicion_, decode_suspicion(value));
  return {};
}

}  // namespace covey
