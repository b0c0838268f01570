// The member's last phases: one agreement, and shares of one kind under it. See secagg_client.h.
#include <string>

#include "privacy/secagg_client.h"

namespace covey {
namespace {

Unexpected refused(const std::string& why) {
  return unexpected(ErrorCode::kInvalidMessage, "secure aggregation refused: " + why);
}
std::string named(std::uint32_t member) { return "member " + std::to_string(member); }

}  // namespace

Result<void> SecAggClient::check_survivors(const SurvivorsMessage& m) const {
  if (!m.survivors.subset_of(maskers_)) return refused("a survivor was not among the maskers");
  if (!m.survivors.contains(place_)) return refused("this member is not among the survivors");
  if (m.survivors.count() < cohort_->survivors_needed())
    return refused("only " + std::to_string(m.survivors.count()) + " members survived; " +
                   std::to_string(cohort_->survivors_needed()) + " are needed");
  if (!cohort_->every_window_holds(m.survivors))
    return refused("too few survivors lie close together on the ring; nothing is revealed");
  std::uint32_t alive = 0;
  std::size_t next = 0;
  const Digest maskers = hash_of(maskers_);
  for (const std::uint32_t neighbour : cohort_->neighbours(place_)) {
    if (!m.survivors.contains(neighbour)) continue;
    ++alive;
    // Each surviving neighbour signed the same U2: none was told that an edge is not there.
    if (next == m.neighbours.size() || m.neighbours[next].member != neighbour)
      return refused("the signature of " + named(neighbour) + " is missing");
    const NeighbourMasked& n = m.neighbours[next++];
    if (!work_.verified(cohort_->entries()[neighbour].credential.key, kMaskedDomain,
                        masked_statement(cohort_->id(), neighbour, maskers, n.masked), n.signature))
      return refused(named(neighbour) + " did not sign for the same maskers");
  }
  if (next != m.neighbours.size()) return refused("a signature is of no surviving neighbour");
  const std::uint32_t others = cohort_->graph().complete ? cohort_->graph().threshold - 1 : cohort_->graph().threshold;
  if (alive < others)
    return refused("only " + std::to_string(alive) + " neighbours survived; " + std::to_string(others) + " are needed");
  return {};
}

// R3: the committee signs one outcome; everyone remembers which one it would reveal shares under.
Result<ClientStep> SecAggClient::on(const SurvivorsMessage& m, Instant) {
  COVEY_TRY_VOID(expect(Phase::kMasked, m.id));
  COVEY_TRY_VOID(check_survivors(m));
  const Bytes statement = commit_statement(m.id, {hash_of(maskers_), hash_of(m.survivors), m.reservation});
  ClientStep step;
  if (cohort_->in_committee(place_)) {
    COVEY_TRY(step, vote(Verdict::kCommit, statement));
  }
  commit_ = statement;
  survivors_ = m.survivors;
  std::erase_if(pair_seeds_, [&](const auto& one) { return m.survivors.contains(one.first); });  // these never leave
  phase_ = Phase::kAgreed;
  return step;
}

Result<ClientStep> SecAggClient::vote(Verdict verdict, ByteSpan statement) {
  ClientStep step;
  COVEY_TRY(step.persist, book_.vote(*cohort_, verdict, statement));
  const VoteMessage message{cohort_->id(), verdict, place_, member_.key.sign(kOutcomeDomain, statement)};
  step.messages.push_back(encode(SecAggMessage(message)));
  return step;
}

Result<ClientStep> SecAggClient::on(const AbortRequestMessage& m, Instant) {
  if (cohort_ == nullptr || m.id != cohort_->id()) return refused("the message is of another attempt or roster");
  if (!cohort_->in_committee(place_)) return refused("this member is not in the committee");
  return vote(Verdict::kAbort, abort_statement(m.id));
}

// R4, or the end without one.
Result<ClientStep> SecAggClient::on(const OutcomeMessage& m, Instant) {
  if (cohort_ == nullptr || m.id != cohort_->id()) return refused("the outcome is of another attempt or roster");
  if (m.verdict == Verdict::kCommit) {
    COVEY_TRY_VOID(expect(Phase::kAgreed, m.id));
    COVEY_TRY_VOID(cohort_->check_certificate(m, commit_, work_));
    return reveal();
  }
  COVEY_TRY_VOID(cohort_->check_certificate(m, abort_statement(m.id), work_));
  ClientStep step;
  const AttemptRecord* record = book_.find(sid_);
  if (record != nullptr && record->masked) {
    COVEY_TRY(step.persist, book_.abort(m, work_));
  }
  close();
  return step;
}

Result<ClientStep> SecAggClient::reveal() {
  ClientStep step;
  COVEY_TRY(step.persist, book_.unmask(sid_));
  UnmaskMessage message;
  message.id = cohort_->id();
  message.member = place_;
  for (const auto& [dealer, shares] : held_) {
    if (!maskers_.contains(dealer)) continue;
    RevealedShare revealed;
    revealed.dealer = dealer;
    revealed.kind = survivors_->contains(dealer) ? ShareKind::kSelfMask : ShareKind::kMaskingKey;
    const Share& share = revealed.kind == ShareKind::kSelfMask ? shares.self_mask : shares.masking_key;
    std::copy(share.value.expose().begin(), share.value.expose().end(), revealed.value.bytes.begin());
    message.shares.push_back(revealed);
  }
  message.signature = member_.key.sign(kUnmaskDomain, unmask_statement(message));
  step.messages.push_back(encode(SecAggMessage(message)));
  finish();
  return step;
}

// Of members that the COMMIT left out, and of which it let the masking key's shares out: that key would give away these
// seeds and more. Their own masks stay on whatever they sent.
Result<ClientStep> SecAggClient::on(const SeedsRequestMessage& m, Instant) {
  COVEY_TRY_VOID(expect(Phase::kDone, m.id));
  if (m.dealers.members() != cohort_->members() || !m.dealers.subset_of(maskers_)) return refused("seeds of a member that masked nothing");
  PairSeedsMessage message{cohort_->id(), place_, {}, {}};
  for (std::uint32_t dealer = 0; dealer < m.dealers.members(); ++dealer) {
    if (!m.dealers.contains(dealer)) continue;
    if (survivors_->contains(dealer)) return refused("seeds of " + named(dealer) + ", which survived");
    const auto seed = pair_seeds_.find(dealer);
    if (seed == pair_seeds_.end()) continue;  // no neighbour
    PairSeed told{dealer, {}};
    std::copy(seed->second.expose().begin(), seed->second.expose().end(), told.seed.bytes.begin());
    message.seeds.push_back(told);
  }
  if (message.seeds.empty()) return refused("seeds of nobody that this member masked with");
  message.signature = member_.key.sign(kPairSeedsDomain, pair_seeds_statement(message));
  ClientStep step;
  step.messages.push_back(encode(SecAggMessage(message)));
  return step;
}

}  // namespace covey
