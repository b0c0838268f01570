// The coordinator's last phases: one outcome, and the shares under it. See secagg_server.h.
#include <algorithm>
#include <string>

#include "privacy/secagg_server.h"

namespace covey {
namespace {

Unexpected refused(const std::string& why) {
  return unexpected(ErrorCode::kInvalidMessage, "secure aggregation refused: " + why);
}
std::string named(std::uint32_t member) { return "member " + std::to_string(member); }
Unexpected out_of_turn() { return unexpected(ErrorCode::kInvalidArgument, "secure aggregation: this phase is not open"); }

}  // namespace

MemberSet SecAggServer::arrived() const {
  MemberSet set(cohort_->members());
  for (std::uint32_t i = 0; i < members_.size(); ++i)
    if (members_[i].arrived) set.insert(i);
  return set;
}

bool SecAggServer::can_close_masks() const {
  if (phase_ != Phase::kMasking) return false;
  const MemberSet here = arrived();
  return here.count() >= cohort_->survivors_needed() && cohort_->every_window_holds(here);
}

SurvivorsMessage SecAggServer::survivors_for(std::uint32_t member) const {
  SurvivorsMessage message{cohort_->id(), survivors_, reservation_, {}};
  for (const std::uint32_t n : members_[member].neighbours)
    if (survivors_.contains(n)) message.neighbours.push_back({n, members_[n].masked->masked, members_[n].masked->signature});
  return message;
}

void SecAggServer::open_agreement(MemberSet survivors, const Digest& reservation) {
  survivors_ = std::move(survivors);
  reservation_ = reservation;
  commit_ = commit_statement(cohort_->id(), {hash_of(maskers_), hash_of(survivors_), reservation});
  phase_ = Phase::kAgreeing;
}

Result<std::vector<Outgoing>> SecAggServer::close_masks(const Digest& reservation) {
  if (phase_ != Phase::kMasking) return out_of_turn();
  if (!can_close_masks())
    return too_few("survived, or all too far apart on the ring", arrived().count(), cohort_->survivors_needed());
  open_agreement(arrived(), reservation);
  std::vector<Outgoing> out;
  for (std::uint32_t i = 0; i < members_.size(); ++i)
    if (survivors_.contains(i)) out.push_back({{i}, encode(SecAggMessage(survivors_for(i)))});
  return out;
}

Result<std::vector<Outgoing>> SecAggServer::abort() {
  if (phase_ == Phase::kAborted) return std::vector<Outgoing>{};
  if (cohort_ == nullptr) {  // nobody has masked, nobody needs an ABORT
    phase_ = Phase::kAborted;
    return std::vector<Outgoing>{};
  }
  if (phase_ == Phase::kCommitted || (phase_ == Phase::kUnmasking && !cohort_->graph().complete)) return out_of_turn();
  phase_ = Phase::kAborting;
  certificate_.reset();
  return std::vector<Outgoing>{{cohort_->committee(), encode(SecAggMessage(AbortRequestMessage{cohort_->id()}))}};
}

SecAggServer::Sent SecAggServer::on(const VoteMessage& m) {
  const bool decided = cohort_ != nullptr && m.id == cohort_->id() && certificate_ && certificate_->verdict == m.verdict;
  if (decided) return std::vector<Outgoing>{};  // a quorum was enough; the rest come later
  COVEY_TRY_VOID(expect(m.verdict == Verdict::kCommit ? Phase::kAgreeing : Phase::kAborting, m.id, m.member));
  if (!cohort_->in_committee(m.member)) return refused(named(m.member) + " is not in the committee");
  const Bytes statement = m.verdict == Verdict::kCommit ? commit_ : abort_statement(m.id);
  COVEY_TRY_VOID(expect_signed(kOutcomeDomain, m.member, statement, m.signature));
  auto& votes = m.verdict == Verdict::kCommit ? commits_ : aborts_;
  votes.emplace(m.member, m.signature);
  const Graph& graph = cohort_->graph();
  if (votes.size() < (m.verdict == Verdict::kCommit ? graph.quorum : graph.abort_quorum)) return std::vector<Outgoing>{};
  OutcomeMessage outcome{m.id, m.verdict, {}};
  for (const auto& [member, signature] : votes) outcome.signatures.push_back({member, signature});
  certificate_ = outcome;
  Outgoing out{{}, encode(SecAggMessage(outcome))};
  if (m.verdict == Verdict::kAbort) {
    phase_ = Phase::kAborted;
    out.to = everyone();
  } else {
    phase_ = Phase::kUnmasking;
    for (std::uint32_t i = 0; i < members_.size(); ++i)
      if (survivors_.contains(i)) out.to.push_back(i);
  }
  return std::vector<Outgoing>{std::move(out)};
}

// Exactly one share for itself and each neighbour that masked, of the kind that the outcome calls for.
Result<void> SecAggServer::check_revealed(const UnmaskMessage& m) const {
  const auto due = [&](std::uint32_t dealer) {
    return maskers_.contains(dealer) && (dealer == m.member || cohort_->are_neighbours(m.member, dealer));
  };
  std::size_t expected = due(m.member) ? 1 : 0;
  for (const std::uint32_t n : members_[m.member].neighbours) expected += due(n) ? 1 : 0;
  if (m.shares.size() != expected) return refused(named(m.member) + " revealed another number of shares than is due");
  for (const RevealedShare& s : m.shares) {
    if (!due(s.dealer)) return refused(named(m.member) + " revealed a share of " + named(s.dealer) + ", which is not due");
    if ((s.kind == ShareKind::kSelfMask) != survivors_.contains(s.dealer))
      return refused(named(m.member) + " revealed the wrong kind of share of " + named(s.dealer));
    COVEY_TRY_VOID(check_share({m.member + 1, Secret<kShareBytes>(s.value.bytes)}));
  }
  return {};
}

SecAggServer::Sent SecAggServer::on(const UnmaskMessage& m) {
  // Too late to count: but one that revealed its shares signs no ABORT, which is good to know.
  const bool late = phase_ == Phase::kAborting;
  COVEY_TRY_VOID(expect(late ? Phase::kAborting : Phase::kUnmasking, m.id, m.member));
  if (!survivors_.contains(m.member)) return refused(named(m.member) + " did not survive");
  Member& member = members_[m.member];
  if (member.unmask) return unexpected(ErrorCode::kAlreadyExists, named(m.member) + " revealed its shares already");
  COVEY_TRY_VOID(expect_signed(kUnmaskDomain, m.member, unmask_statement(m), m.signature));
  if (const auto fine = check_revealed(m); !fine) {
    accuse(m.member, fine.error().message);
    return unexpected(fine.error());
  }
  member.unmask = m;
  return std::vector<Outgoing>{};
}

Result<std::vector<Outgoing>> SecAggServer::ask_seeds(const std::vector<std::uint32_t>& dealers) {
  if (phase_ != Phase::kUnmasking) return out_of_turn();
  MemberSet asked(cohort_->members());
  for (const std::uint32_t dealer : dealers) {
    if (!maskers_.contains(dealer) || survivors_.contains(dealer))
      return unexpected(ErrorCode::kInvalidArgument, "secure aggregation: no seeds are told of " + named(dealer) + ", which did not mask and drop out");
    asked.insert(dealer);
  }
  for (Member& member : members_) member.seeds.reset();
  seeds_asked_ = asked;
  Outgoing out{{}, encode(SecAggMessage(SeedsRequestMessage{cohort_->id(), asked}))};
  for (std::uint32_t i = 0; i < members_.size(); ++i)
    if (members_[i].unmask && !seeds_owed(i).empty()) out.to.push_back(i);
  return std::vector<Outgoing>{std::move(out)};
}

std::vector<std::uint32_t> SecAggServer::seeds_owed(std::uint32_t member) const {
  std::vector<std::uint32_t> owed;
  if (!survivors_.contains(member)) return owed;
  for (const std::uint32_t n : members_[member].neighbours)
    if (seeds_asked_.contains(n)) owed.push_back(n);
  return owed;
}

std::vector<std::uint32_t> SecAggServer::seeds_withheld() const {
  std::vector<std::uint32_t> withheld;
  for (std::uint32_t i = 0; i < members_.size(); ++i)
    if (!members_[i].seeds && !seeds_owed(i).empty()) withheld.push_back(i);
  return withheld;
}

SecAggServer::Sent SecAggServer::on(const PairSeedsMessage& m) {
  COVEY_TRY_VOID(expect(Phase::kUnmasking, m.id, m.member));
  const std::vector<std::uint32_t> owed = seeds_owed(m.member);
  if (owed.empty()) return refused(named(m.member) + " was asked for no seeds");
  Member& member = members_[m.member];
  if (member.seeds) return unexpected(ErrorCode::kAlreadyExists, named(m.member) + " told its seeds already");
  COVEY_TRY_VOID(expect_signed(kPairSeedsDomain, m.member, pair_seeds_statement(m), m.signature));
  const bool all = std::equal(owed.begin(), owed.end(), m.seeds.begin(), m.seeds.end(),
                              [](std::uint32_t dealer, const PairSeed& told) { return dealer == told.dealer; });
  if (!all) return refused(named(m.member) + " told the seeds of other members than it was asked for");
  member.seeds = m;
  return std::vector<Outgoing>{};
}

bool SecAggServer::can_recover() const {
  if (phase_ != Phase::kUnmasking) return false;
  for (std::uint32_t dealer = 0; dealer < members_.size(); ++dealer) {
    if (!maskers_.contains(dealer)) continue;
    std::uint32_t shares = members_[dealer].unmask ? 1 : 0;
    for (const std::uint32_t n : members_[dealer].neighbours) shares += members_[n].unmask ? 1 : 0;
    if (shares < cohort_->graph().threshold) return false;
  }
  return true;
}

Result<SumRecovery> SecAggServer::close_unmasking() {
  COVEY_TRY(SumRecovery opened, recovery());
  phase_ = Phase::kCommitted;
  return opened;
}

Result<SumRecovery> SecAggServer::recovery() const {
  if (phase_ != Phase::kUnmasking) return out_of_turn();
  if (!can_recover())
    return unexpected(ErrorCode::kUnavailable, "too few members revealed their shares: the sum stays closed, and its release is spent");
  SumRecovery recovery{cohort_, config_.vectors, maskers_, survivors_, std::vector<Digest>(members_.size()), config_.corrupt_max, {}};
  std::vector<std::size_t> item_of(members_.size());
  for (std::uint32_t i = 0; i < members_.size(); ++i) {
    if (!maskers_.contains(i)) continue;
    recovery.commitments[i] = members_[i].shares->commitment;
    item_of[i] = recovery.items.size();
    recovery.items.push_back({i, survivors_.contains(i) ? ShareKind::kSelfMask : ShareKind::kMaskingKey, {}, {}});
  }
  for (std::uint32_t holder = 0; holder < members_.size(); ++holder) {
    if (!members_[holder].unmask) continue;
    for (const RevealedShare& s : members_[holder].unmask->shares)
      recovery.items[item_of[s.dealer]].shares.push_back({holder + 1, Secret<kShareBytes>(s.value.bytes)});
    if (!members_[holder].seeds) continue;
    for (const PairSeed& told : members_[holder].seeds->seeds)
      recovery.items[item_of[told.dealer]].pair_seeds.emplace(holder, Secret<32>(told.seed.bytes));
  }
  return recovery;
}

}  // namespace covey
