// A member's half of one secure aggregation: a pure state machine over the phases R0 to R4 of
// docs/secure_aggregation.md. It trusts nobody: every check of that document's section 6 is made here.
//
// A refused message changes nothing, so a liar can send what it likes; what is refused is only that
// message. The seeds live in memory alone and are wiped as soon as a phase no longer needs them.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "privacy/attempt_book.h"
#include "privacy/secagg_complaint.h"

namespace covey {

// What to add to the vectors before they leave: for vector v, the seeds' keys by vector_key().
struct MaskSeed {
  Secret<32> seed;
  Sign sign = Sign::kPlus;
};
struct MaskPlan {
  Digest sid;
  PrgCipher cipher = PrgCipher::kAes256Ctr;
  std::vector<VectorSpec> vectors;
  std::vector<MaskSeed> seeds;
};
std::vector<MaskTerm> terms_of(const MaskPlan& plan, std::size_t vector);

struct ClientStep {
  Batch persist;                 // must be durable before anything below happens
  std::vector<Bytes> messages;   // then these are sent
  std::optional<MaskPlan> mask;  // or: mask the vectors, send them, and report H(y) to on_masked()
};

struct SecAggMember {
  const SigningKey& key;
  const MemberCredential& credential;
  const ClientPolicy& policy;
  bool has_aes = true;
};

class SecAggClient {
 public:
  enum class Phase { kInvited, kJoined, kShared, kConfirmed, kMasking, kMasked, kAgreed, kDone, kClosed };

  // Everything given outlives this.
  SecAggClient(const SecAggMember& member, ClientTerms terms, AttemptBook& book, PublicWork& work, SecureRandom& random);
  ~SecAggClient();  // closes
  SecAggClient(const SecAggClient&) = delete;
  SecAggClient& operator=(const SecAggClient&) = delete;

  // Any message of the coordinator's. Errors: kInvalidMessage for what is malformed, of another attempt,
  // out of turn, or fails a check; kPermissionDenied for what this member's policy or book refuses.
  Result<ClientStep> handle(ByteSpan message, Instant now);
  // The vectors were masked by the plan, hashed by MaskedHash, and are ready to leave.
  Result<ClientStep> on_masked(const Digest& masked, Instant now);
  // Answers nothing more and forgets every key. Until then, one that revealed its shares (kDone) still tells what it
  // masked with members that dropped out.
  void close();

  Phase phase() const { return phase_; }
  const Digest& sid() const { return sid_; }
  const SecAggConfig& config() const { return config_; }  // as invited
  const SecAggCohort* cohort() const { return cohort_.get(); }
  std::uint32_t place() const { return place_; }

 private:
  Result<ClientStep> on(const InviteMessage& m, Instant now);
  Result<ClientStep> on(const RosterMessage& m, Instant now);
  Result<ClientStep> on(const DeliveryMessage& m, Instant now);
  Result<ClientStep> on(const MaskOrderMessage& m, Instant now);
  Result<ClientStep> on(const SurvivorsMessage& m, Instant now);
  Result<ClientStep> on(const AbortRequestMessage& m, Instant now);
  Result<ClientStep> on(const OutcomeMessage& m, Instant now);
  Result<ClientStep> on(const SeedsRequestMessage& m, Instant now);
  template <class Other>
  Result<ClientStep> on(const Other&, Instant) {
    return unexpected(ErrorCode::kInvalidMessage, "secure aggregation: members send such messages, and do not receive them");
  }

  Result<void> expect(Phase phase, const AttemptId& id) const;
  SharesMessage deal_shares();
  Result<void> check_maskers(const MaskOrderMessage& m) const;
  Result<MaskPlan> plan_masks(const MemberSet& maskers);
  Result<void> check_survivors(const SurvivorsMessage& m) const;
  Result<ClientStep> vote(Verdict verdict, ByteSpan statement);
  Result<ClientStep> reveal();
  Channel channel_from(std::uint32_t dealer) const;
  void forget_own_keys();
  void finish();  // kDone

  const SecAggMember member_;
  const ClientTerms terms_;
  AttemptBook& book_;
  PublicWork& work_;
  SecureRandom& random_;

  Phase phase_ = Phase::kInvited;
  Instant began_;
  Digest sid_;
  SecAggConfig config_;
  RosterEntry entry_;  // as this member signed it
  std::shared_ptr<const SecAggCohort> cohort_;
  std::uint32_t place_ = 0;
  std::optional<RistrettoKey> sealing_key_;
  std::optional<AgreementKey> masking_key_;
  Secret<32> self_mask_;
  std::map<std::uint32_t, Secret<32>> agreed_;  // by neighbour, from dealing to delivery
  std::map<std::uint32_t, DealtShares> held_;  // by dealer, this member among them
  std::map<std::uint32_t, Secret<32>> pair_seeds_;  // by neighbour in U2; from the list of survivors on, of those not in it
  MemberSet maskers_;
  Digest masked_;
  std::optional<MemberSet> survivors_;
  Bytes commit_;  // the one statement this member would reveal its shares under
};

}  // namespace covey
