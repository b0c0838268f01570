#include "privacy/secagg_client.h"

#include <algorithm>
#include <string>

namespace covey {
namespace {

Unexpected refused(const std::string& why) {
  return unexpected(ErrorCode::kInvalidMessage, "secure aggregation refused: " + why);
}
std::string named(std::uint32_t member) { return "member " + std::to_string(member); }
ClientStep sending(const SecAggMessage& message) {
  ClientStep step;
  step.messages.push_back(encode(message));
  return step;
}

}  // namespace

std::vector<MaskTerm> terms_of(const MaskPlan& plan, std::size_t vector) {
  std::vector<MaskTerm> terms;
  terms.reserve(plan.seeds.size());
  for (const MaskSeed& s : plan.seeds) terms.push_back({vector_key(s.seed, vector, plan.vectors.at(vector)), s.sign});
  return terms;
}

SecAggClient::SecAggClient(const SecAggMember& member, ClientTerms terms, AttemptBook& book, PublicWork& work,
                           SecureRandom& random)
    : member_(member), terms_(std::move(terms)), book_(book), work_(work), random_(random) {}
SecAggClient::~SecAggClient() { close(); }

void SecAggClient::close() {
  if (phase_ != Phase::kInvited) book_.close(sid_);
  forget_own_keys();
  held_.clear();
  pair_seeds_.clear();
  phase_ = Phase::kClosed;
}

// The shares are out: another attempt may run on the data.
void SecAggClient::finish() {
  book_.close(sid_);
  held_.clear();
  phase_ = Phase::kDone;
}

void SecAggClient::forget_own_keys() {
  sealing_key_.reset();
  masking_key_.reset();
  self_mask_ = Secret<32>();
  agreed_.clear();
}

Result<ClientStep> SecAggClient::handle(ByteSpan bytes, Instant now) {
  if (phase_ == Phase::kClosed) return refused("this attempt is over");
  if (phase_ != Phase::kInvited && now - began_ > member_.policy.attempt_within) {
    close();
    return refused("the attempt took longer than this member allows");
  }
  COVEY_TRY(const SecAggMessage message, decode_secagg_message(bytes));
  if (phase_ == Phase::kDone && !std::holds_alternative<SeedsRequestMessage>(message)) return refused("this attempt is over");
  return std::visit([&](const auto& m) { return on(m, now); }, message);
}

Result<void> SecAggClient::expect(Phase phase, const AttemptId& id) const {
  if (cohort_ == nullptr || id != cohort_->id()) return refused("the message is of another attempt or roster");
  if (phase_ != phase) return refused("the message is out of turn");
  return {};
}

// R0: fresh keys, signed for exactly these terms.
Result<ClientStep> SecAggClient::on(const InviteMessage& m, Instant now) {
  if (phase_ != Phase::kInvited) return refused("an attempt is running already");
  COVEY_TRY_VOID(check(m.config));
  COVEY_TRY_VOID(check_terms(m.config, terms_));
  COVEY_TRY_VOID(check_policy(m.config, member_.policy));
  ClientStep step;
  COVEY_TRY(step.persist, book_.join(m.config));
  config_ = m.config;
  sid_ = sid_of(config_);
  began_ = now;
  sealing_key_ = RistrettoKey::generate(random_);
  masking_key_ = AgreementKey::generate(random_);
  self_mask_ = Secret<32>::random(random_);
  entry_.credential = member_.credential;
  entry_.sealing_key = sealing_key_->public_key();
  entry_.masking_key = masking_key_->public_key();
  random_.fill(entry_.nonce.bytes);
  entry_.has_aes = member_.has_aes;
  entry_.signature = member_.key.sign(kJoinDomain, join_statement(entry_, sid_, hash_of(config_)));
  phase_ = Phase::kJoined;
  step.messages.push_back(encode(SecAggMessage(JoinMessage{sid_, entry_})));
  return step;
}

// R1: the roster holds, with this member's entry byte for byte; then shares for every neighbour. A roster that is no lie
// but names whom this member will not aggregate with: kPermissionDenied (not pinned), kUnavailable (withdrawn meanwhile).
Result<ClientStep> SecAggClient::on(const RosterMessage& m, Instant now) {
  if (phase_ != Phase::kJoined || m.sid != sid_) return refused("the roster is of another attempt, or out of turn");
  if (now - began_ > member_.policy.roster_within) return refused("the roster came too late: too many could have been tried");
  const auto& pinned = member_.policy.pinned;
  for (const RosterEntry& e : m.entries)
    if (!pinned.empty() && std::find(pinned.begin(), pinned.end(), e.credential.key) == pinned.end())
      return unexpected(ErrorCode::kPermissionDenied, "this member's policy refuses the roster: it names " + short_hex(e.credential.key) +
                                                          ", which this member has not pinned");
  const Withdrawals& withdrawn = member_.policy.withdrawals;
  for (const RosterEntry& e : m.entries)
    if (names(withdrawn, e.credential.key))
      return unexpected(ErrorCode::kUnavailable, "the roster names " + short_hex(e.credential.key) +
                                                     ", whose credential the authority withdrew (list " +
                                                     std::to_string(withdrawn.number) + ")");
  if (std::find(m.entries.begin(), m.entries.end(), entry_) == m.entries.end())
    return refused("the roster does not hold this member's own entry as it was sent");
  COVEY_TRY(auto cohort, work_.cohort(config_, member_.policy.authority, m));
  cohort_ = std::move(cohort);
  for (place_ = 0; cohort_->entries()[place_] != entry_;) ++place_;
  phase_ = Phase::kShared;
  ClientStep step = sending(deal_shares());
  step.persist = book_.seat(*cohort_);
  return step;
}

Channel SecAggClient::channel_from(std::uint32_t dealer) const {
  return {cohort_->id(), cohort_->entries()[dealer], entry_, dealer, place_};
}

SharesMessage SecAggClient::deal_shares() {
  SharesMessage message;
  message.id = cohort_->id();
  message.member = place_;
  message.commitment = self_mask_commitment(cohort_->id(), place_, self_mask_);
  const std::vector<std::uint32_t> neighbours = cohort_->neighbours(place_);
  std::vector<std::uint32_t> xs{place_ + 1};
  for (const std::uint32_t neighbour : neighbours) xs.push_back(neighbour + 1);
  auto of_key = deal(masking_key_->secret(), cohort_->graph().threshold, xs, random_);
  auto of_mask = deal(self_mask_, cohort_->graph().threshold, xs, random_);
  held_.emplace(place_, DealtShares{std::move(of_key[0]), std::move(of_mask[0])});
  for (std::size_t i = 0; i < neighbours.size(); ++i) {
    const RosterEntry& to = cohort_->entries()[neighbours[i]];
    auto shared = sealing_key_->shared_point(to.sealing_key);
    // A neighbour whose key is no point gets noise: it cannot open it, and cannot blame anyone for it.
    const Secret<32>& point =
        agreed_.emplace(neighbours[i], shared ? std::move(*shared) : Secret<32>::random(random_)).first->second;
    message.sealed.push_back(seal_shares({cohort_->id(), entry_, to, place_, neighbours[i]},
                                         {std::move(of_key[i + 1]), std::move(of_mask[i + 1])}, point, random_));
  }
  message.signature = member_.key.sign(
      kSharesDomain, shares_statement(message.id, place_, message.commitment, merkle_root(message.sealed)));
  return message;
}

// R1, second half: what the neighbours sealed opens, or is complained about, before anything is masked.
Result<ClientStep> SecAggClient::on(const DeliveryMessage& m, Instant) {
  COVEY_TRY_VOID(expect(Phase::kShared, m.id));
  ConfirmMessage confirm;
  confirm.id = m.id;
  confirm.member = place_;
  std::map<std::uint32_t, DealtShares> opened;
  for (const DeliveredShares& delivered : m.shares) {
    if (!cohort_->are_neighbours(place_, delivered.dealer)) return refused(named(delivered.dealer) + " is no neighbour");
    const Channel channel = channel_from(delivered.dealer);
    auto shares = open_shares(channel, delivered.sealed, agreed_.at(delivered.dealer));
    if (shares) {
      opened.emplace(delivered.dealer, std::move(*shares));
    } else {
      COVEY_TRY(Complaint complaint, complain(channel, delivered.sealed, *sealing_key_, random_));
      confirm.complaints.push_back(std::move(complaint));
    }
  }
  held_.merge(opened);
  agreed_.clear();
  confirm.signature = member_.key.sign(kConfirmDomain, confirm_statement(confirm));
  phase_ = Phase::kConfirmed;
  return sending(confirm);
}

Result<void> SecAggClient::check_maskers(const MaskOrderMessage& m) const {
  if (m.maskers.members() != cohort_->members()) return refused("the set of maskers is not of this roster");
  if (!m.maskers.contains(place_)) return refused("this member is not among the maskers");
  if (m.maskers.count() < cohort_->survivors_needed())
    return refused("only " + std::to_string(m.maskers.count()) + " members would mask; " +
                   std::to_string(cohort_->survivors_needed()) + " are needed");
  for (const std::uint32_t neighbour : cohort_->neighbours(place_))
    if (m.maskers.contains(neighbour) && !held_.contains(neighbour))
      return refused("this member holds no share of " + named(neighbour) + ", which is to mask");
  return {};
}

Result<MaskPlan> SecAggClient::plan_masks(const MemberSet& maskers) {
  MaskPlan plan{sid_, cohort_->cipher(), config_.vectors, {}};
  const Digest set = hash_of(maskers);
  plan.seeds.push_back({self_mask_.clone(), Sign::kPlus});
  for (const std::uint32_t neighbour : cohort_->neighbours(place_)) {
    if (!maskers.contains(neighbour)) continue;
    const auto shared = masking_key_->shared_secret(cohort_->entries()[neighbour].masking_key);
    if (!shared) return refused("the masking key of " + named(neighbour) + " is a point of small order");
    Secret<32> seed = mask_seed(cohort_->id(), entry_, cohort_->entries()[neighbour], *shared, set);
    pair_seeds_.insert_or_assign(neighbour, seed.clone());
    plan.seeds.push_back({std::move(seed), pair_sign(place_, neighbour)});
  }
  return plan;
}

// R2: from here on a masked vector may be out, so the book says so first.
Result<ClientStep> SecAggClient::on(const MaskOrderMessage& m, Instant) {
  COVEY_TRY_VOID(expect(Phase::kConfirmed, m.id));
  COVEY_TRY_VOID(check_maskers(m));
  COVEY_TRY(MaskPlan plan, plan_masks(m.maskers));
  ClientStep step;
  COVEY_TRY(step.persist, book_.mask(*cohort_));
  maskers_ = m.maskers;
  forget_own_keys();
  step.mask = std::move(plan);
  phase_ = Phase::kMasking;
  return step;
}

Result<ClientStep> SecAggClient::on_masked(const Digest& masked, Instant now) {
  if (phase_ != Phase::kMasking) return refused("nothing was to be masked");
  if (now - began_ > member_.policy.attempt_within) {
    close();
    return refused("the attempt took longer than this member allows");
  }
  masked_ = masked;
  MaskedMessage message{cohort_->id(), place_, hash_of(maskers_), masked, {}};
  message.signature = member_.key.sign(kMaskedDomain, masked_statement(message.id, place_, message.maskers, masked));
  phase_ = Phase::kMasked;
  return sending(message);
}

}  // namespace covey
