#include "privacy/secagg_server.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace covey {
namespace {

Unexpected refused(const std::string& why) {
  return unexpected(ErrorCode::kInvalidMessage, "secure aggregation refused: " + why);
}
std::string named(std::uint32_t member) { return "member " + std::to_string(member); }
Unexpected out_of_turn() { return unexpected(ErrorCode::kInvalidArgument, "secure aggregation: this phase is not open"); }
Outgoing to_all(const MemberSet& set, const SecAggMessage& message) {
  Outgoing out{{}, encode(message)};
  for (std::uint32_t i = 0; i < set.members(); ++i)
    if (set.contains(i)) out.to.push_back(i);
  return out;
}
bool same_key(const RistrettoPoint& sealing, const AgreementPublicKey& masking) {
  return std::equal(sealing.bytes.begin(), sealing.bytes.end(), masking.bytes.begin(), masking.bytes.end());
}
// In any role: members refuse a roster with a fresh key twice, whichever role it has.
bool shares_a_key(const RosterEntry& one, const RosterEntry& other) {
  return one.credential.key == other.credential.key || one.sealing_key == other.sealing_key ||
         one.masking_key == other.masking_key || same_key(one.sealing_key, other.masking_key) ||
         same_key(other.sealing_key, one.masking_key);
}

}  // namespace

Result<std::unique_ptr<SecAggServer>> SecAggServer::begin(SecAggConfig config, const VerifyKey& authority, PublicWork& work,
                                                          SecureRandom& random) {
  random.fill(config.nonce.bytes);
  COVEY_TRY_VOID(check(config));
  COVEY_TRY_VOID(graph_of(config, config.members_min));
  COVEY_TRY_VOID(graph_of(config, config.members_max));
  return std::unique_ptr<SecAggServer>(new SecAggServer(std::move(config), authority, work, AgreementKey::generate(random),
                                                        RistrettoKey::generate(random)));
}

SecAggServer::SecAggServer(SecAggConfig config, const VerifyKey& authority, PublicWork& work, AgreementKey probe,
                           RistrettoKey point_probe)
    : config_(std::move(config)),
      authority_(authority),
      work_(work),
      probe_(std::move(probe)),
      point_probe_(std::move(point_probe)),
      sid_(sid_of(config_)),
      config_hash_(hash_of(config_)) {}

Bytes SecAggServer::invitation() const { return encode(SecAggMessage(InviteMessage{config_})); }

Result<std::vector<Outgoing>> SecAggServer::handle(ByteSpan bytes) {
  COVEY_TRY(const SecAggMessage message, decode_secagg_message(bytes));
  return std::visit([&](const auto& m) { return on(m); }, message);
}

Result<void> SecAggServer::expect(Phase phase, const AttemptId& id, std::uint32_t member) const {
  if (cohort_ == nullptr || id != cohort_->id()) return refused("the message is of another attempt or roster");
  if (phase_ > phase) return unexpected(ErrorCode::kAlreadyExists, "secure aggregation: the message came again, or late");
  if (phase_ != phase) return refused("the message is out of turn");
  if (member >= cohort_->members()) return refused(named(member) + " is not in the roster");
  return {};
}
Result<void> SecAggServer::expect_signed(std::string_view domain, std::uint32_t member, ByteSpan statement,
                                         const Signature& signature) const {
  if (!work_.verified(cohort_->entries()[member].credential.key, domain, statement, signature))
    return refused(named(member) + " did not sign this");
  return {};
}
Unexpected SecAggServer::too_few(const char* what, std::uint32_t count, std::uint32_t needed) const {
  return unexpected(ErrorCode::kUnavailable, std::to_string(count) + " members " + what + ", " + std::to_string(needed) +
                                                 " are needed");
}
std::vector<std::uint32_t> SecAggServer::everyone() const {
  std::vector<std::uint32_t> all;
  for (std::uint32_t i = 0; i < cohort_->members(); ++i) all.push_back(i);
  return all;
}

// Signatures are verified with the others' at the end of the phase. What is not signed stands in nobody's way until then:
// a join that it would keep out is reason to verify it now.
SecAggServer::Sent SecAggServer::on(const JoinMessage& m) {
  const MemberCredential& c = m.entry.credential;
  const auto known = joins_.find(c.subject);
  if (m.sid == sid_ && phase_ != Phase::kJoining && known != joins_.end() && known->second == m.entry)
    return unexpected(ErrorCode::kAlreadyExists, "subject " + short_hex(c.subject) + " joined already");  // it is said until the roster comes
  if (phase_ != Phase::kJoining || m.sid != sid_) return refused("the join is of another attempt, or too late");
  if (joins_.contains(c.subject) && signed_join(c.subject))
    return unexpected(ErrorCode::kAlreadyExists, "subject " + short_hex(c.subject) + " joined already");
  if (joins_.size() >= config_.members_max) verify_joins();
  if (joins_.size() >= config_.members_max)
    return unexpected(ErrorCode::kResourceExhausted, "the cohort has its " + std::to_string(config_.members_max) + " members");
  if (c.epoch != config_.credential_epoch)
    return refused("the credential is of epoch " + std::to_string(c.epoch) + ", not " + std::to_string(config_.credential_epoch));
  if (!point_probe_.shared_point(m.entry.sealing_key) || !probe_.shared_secret(m.entry.masking_key))
    return refused("a key of the join is no key");
  if (same_key(m.entry.sealing_key, m.entry.masking_key)) return refused("the join has one key in both roles");
  std::vector<SubjectId> alike;
  for (const auto& [subject, other] : joins_)
    if (shares_a_key(other, m.entry)) alike.push_back(subject);
  for (const SubjectId& subject : alike)
    if (signed_join(subject)) return refused("a key of the join is another member's");
  joins_.insert_or_assign(c.subject, m.entry);
  std::erase(unsigned_joins_, c.subject);
  return std::vector<Outgoing>{};
}

bool SecAggServer::signed_join(const SubjectId& subject) {
  const RosterEntry& entry = joins_.at(subject);
  const std::array claims{credential_claim(entry, authority_), join_claim(entry, sid_, config_hash_)};
  const std::vector<bool> holds = work_.all_verified(claims);
  if (holds[0] && holds[1]) return true;
  joins_.erase(subject);
  unsigned_joins_.push_back(subject);
  return false;
}

// One by one they would hold this machine up as they come; together they are shared by all threads.
void SecAggServer::verify_joins() {
  std::vector<SignedClaim> claims;
  for (const auto& [subject, entry] : joins_) {
    claims.push_back(credential_claim(entry, authority_));
    claims.push_back(join_claim(entry, sid_, config_hash_));
  }
  const std::vector<bool> holds = work_.all_verified(claims);
  std::size_t at = 0;
  for (auto join = joins_.begin(); join != joins_.end(); at += 2) {
    const bool holds_both = holds[at] && holds[at + 1];
    if (!holds_both) unsigned_joins_.push_back(join->first);
    join = holds_both ? std::next(join) : joins_.erase(join);
  }
}

Result<std::vector<Outgoing>> SecAggServer::close_joins() {
  if (phase_ != Phase::kJoining) return out_of_turn();
  verify_joins();
  if (joins_.size() < config_.members_min)
    return too_few("joined", static_cast<std::uint32_t>(joins_.size()), config_.members_min);
  RosterMessage roster{sid_, {}};
  for (const auto& [subject, entry] : joins_) roster.entries.push_back(entry);
  // Not every number between the bounds has a graph, and who joins decides the number: the rest sits out.
  while (roster.entries.size() > config_.members_min &&
         !graph_of(config_, static_cast<std::uint32_t>(roster.entries.size())))
    roster.entries.pop_back();
  COVEY_TRY(cohort_, work_.cohort(config_, authority_, roster));
  members_.resize(cohort_->members());
  for (std::uint32_t i = 0; i < cohort_->members(); ++i) members_[i].neighbours = cohort_->neighbours(i);
  maskers_ = survivors_ = MemberSet(cohort_->members());
  phase_ = Phase::kSharing;
  return std::vector<Outgoing>{{everyone(), encode(SecAggMessage(roster))}};
}

SecAggServer::Sent SecAggServer::on(const SharesMessage& m) {
  COVEY_TRY_VOID(expect(Phase::kSharing, m.id, m.member));
  Member& member = members_[m.member];
  if (member.shares) return unexpected(ErrorCode::kAlreadyExists, named(m.member) + " shared already");
  if (m.sealed.size() != member.neighbours.size()) return refused("there must be one share per neighbour");
  COVEY_TRY_VOID(expect_signed(kSharesDomain, m.member,
                               shares_statement(m.id, m.member, m.commitment, merkle_root(m.sealed)), m.signature));
  member.shares = m;
  return std::vector<Outgoing>{};
}

Result<std::vector<Outgoing>> SecAggServer::close_shares() {
  if (phase_ != Phase::kSharing) return out_of_turn();
  std::uint32_t sharing = 0;
  for (const Member& member : members_) sharing += member.shares ? 1 : 0;
  if (sharing < cohort_->survivors_needed()) return too_few("shared", sharing, cohort_->survivors_needed());
  std::vector<Outgoing> out;
  for (std::uint32_t i = 0; i < members_.size(); ++i)
    if (members_[i].shares) out.push_back({{i}, encode(SecAggMessage(delivery_for(i)))});
  phase_ = Phase::kConfirming;
  return out;
}

// Neighbourhood is mutual and in order of place, so a dealer's share for `member` is found where it is.
DeliveryMessage SecAggServer::delivery_for(std::uint32_t member) const {
  DeliveryMessage delivery{cohort_->id(), {}};
  for (const std::uint32_t dealer : members_[member].neighbours) {
    const Member& from = members_[dealer];
    if (!from.shares) continue;
    const auto at = std::lower_bound(from.neighbours.begin(), from.neighbours.end(), member) - from.neighbours.begin();
    delivery.shares.push_back({dealer, from.shares->sealed[static_cast<std::size_t>(at)]});
  }
  return delivery;
}

SecAggServer::Sent SecAggServer::on(const ConfirmMessage& m) {
  COVEY_TRY_VOID(expect(Phase::kConfirming, m.id, m.member));
  Member& member = members_[m.member];
  if (!member.shares) return refused(named(m.member) + " has nothing to confirm");
  if (member.confirmed) return unexpected(ErrorCode::kAlreadyExists, named(m.member) + " confirmed already");
  COVEY_TRY_VOID(expect_signed(kConfirmDomain, m.member, confirm_statement(m), m.signature));
  member.confirmed = true;
  judge(m);
  return std::vector<Outgoing>{};
}

void SecAggServer::accuse(std::uint32_t member, const std::string& what) {
  const bool known = std::any_of(blame_.begin(), blame_.end(), [&](const Blame& one) { return one.member == member; });
  if (!known) blame_.push_back({member, what});
}

// A complaint that holds convicts the dealer; one that does not convicts whoever made it, and what else it says
// is not looked at: nobody deals with it any more, and each complaint costs a proof.
void SecAggServer::judge(const ConfirmMessage& m) {
  const RosterEntry& receiver = cohort_->entries()[m.member];
  for (const Complaint& complaint : m.complaints) {
    const bool known = cohort_->are_neighbours(m.member, complaint.dealer) && members_[complaint.dealer].shares.has_value();
    if (!known) {
      members_[m.member].convicted = true;
      return accuse(m.member, "complained about shares that were never sealed");
    }
    Member& dealer = members_[complaint.dealer];
    const auto at = std::lower_bound(dealer.neighbours.begin(), dealer.neighbours.end(), m.member) - dealer.neighbours.begin();
    const auto leaf = static_cast<std::uint32_t>(at);
    const SealedShares& sealed = dealer.shares->sealed[leaf];
    const RosterEntry& from = cohort_->entries()[complaint.dealer];
    if (!check_complaint({m.id, from, receiver, complaint.dealer, m.member}, sealed, complaint)) {
      members_[m.member].convicted = true;
      return accuse(m.member, "made a complaint that does not hold");
    }
    accuse(complaint.dealer, "sealed shares that do not open");
    if (std::exchange(dealer.convicted, true)) continue;  // one proof is enough
    evidence_.push_back({m.id, from, receiver, complaint.dealer, m.member, dealer.shares->commitment, dealer.shares->signature,
                         leaf, static_cast<std::uint32_t>(dealer.shares->sealed.size()), sealed,
                         merkle_path(dealer.shares->sealed, leaf), complaint});
  }
}

Result<std::vector<Outgoing>> SecAggServer::close_confirmations() {
  if (phase_ != Phase::kConfirming) return out_of_turn();
  MemberSet maskers(cohort_->members());
  for (std::uint32_t i = 0; i < members_.size(); ++i)
    if (members_[i].confirmed && !members_[i].convicted) maskers.insert(i);
  if (maskers.count() < cohort_->survivors_needed()) return too_few("can mask", maskers.count(), cohort_->survivors_needed());
  maskers_ = maskers;
  phase_ = Phase::kMasking;
  return std::vector<Outgoing>{to_all(maskers_, MaskOrderMessage{cohort_->id(), maskers_})};
}

SecAggServer::Sent SecAggServer::on(const MaskedMessage& m) {
  COVEY_TRY_VOID(expect(Phase::kMasking, m.id, m.member));
  Member& member = members_[m.member];
  if (!maskers_.contains(m.member) || m.maskers != hash_of(maskers_)) return refused(named(m.member) + " masked for other members");
  if (member.masked) return unexpected(ErrorCode::kAlreadyExists, named(m.member) + " masked already");
  COVEY_TRY_VOID(expect_signed(kMaskedDomain, m.member, masked_statement(m.id, m.member, m.maskers, m.masked), m.signature));
  member.masked = m;
  return std::vector<Outgoing>{};
}

Result<void> SecAggServer::on_vectors(std::uint32_t member, const Digest& masked) {
  if (phase_ != Phase::kMasking || member >= members_.size() || !members_[member].masked) return refused("no vectors are expected of " + named(member));
  if (members_[member].masked->masked != masked) return refused("the vectors of " + named(member) + " are not those it signed");
  members_[member].arrived = true;
  return {};
}

}  // namespace covey
