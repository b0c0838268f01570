// The coordinator's half of one secure aggregation: a pure state machine. Its driver decides when a phase
// ends (a timer, or everyone answered), stores the masked vectors as they arrive, and sums and unmasks
// them with MaskedSum and recover() on its worker pool. docs/secure_aggregation.md has the protocol.
//
// A vector is counted whole or not at all: its chunks are hashed (MaskedHash) while they are stored, the
// machine compares that hash with the signed one in on_vectors(), and only then is it added to the sum.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "core/base/worker_pool.h"
#include "privacy/secagg_client.h"

namespace covey {

class ByteReader;

struct Outgoing {
  std::vector<std::uint32_t> to;  // places in the roster
  Bytes message;
};

// Whoever was caught, for the next attempt's selection.
struct Blame {
  std::uint32_t member = 0;
  std::string what;
  bool operator==(const Blame&) const = default;
};

// Everything that opens the sum; independent of the machine, so that a worker can have it.
struct SumRecovery {
  struct Item {
    std::uint32_t dealer = 0;
    ShareKind kind = ShareKind::kSelfMask;
    std::vector<Share> shares;
    std::map<std::uint32_t, Secret<32>> pair_seeds;  // of a dropped member, as its surviving neighbours say; by neighbour
  };
  std::shared_ptr<const SecAggCohort> cohort;
  std::vector<VectorSpec> vectors;
  MemberSet maskers;
  MemberSet survivors;
  std::vector<Digest> commitments;  // by place
  std::uint32_t corrupt_max = 0;    // members that may lie
  std::vector<Item> items;
};
struct Recovered {
  MaskPlan plan;             // subtracts every mask that is left in the sum of the survivors
  std::vector<Blame> blame;  // holders that revealed wrong shares, proven: of more secrets than dealers may lie
  struct Disputed {          // the share of this dealer's secret that this holder revealed was wrong: one of the two lied
    std::uint32_t dealer = 0, holder = 0;
    bool operator==(const Disputed&) const = default;
  };
  std::vector<Disputed> disputed;
  // Of dealers: with as many shares as here are, an honest one's secret is found whoever of A holders lies.
  std::vector<Blame> liars;
  // Whose shares did not open what it committed to. The mask of a survivor among them is then what its shares say:
  // if it masked with another, the sum is noise. Only the sum's own figures can tell.
  std::vector<std::uint32_t> doubted;
  std::vector<std::uint32_t> unopened;  // dropped members, whose neighbours' seeds would do instead
  std::vector<std::uint32_t> mended;    // dropped members, whose neighbours' seeds did
  std::string closed;        // why nothing can be unmasked, naming the dealers whose secrets do not open; "": it can
};
// On all threads of `pool`, not from one of its tasks.
Recovered recover(const SumRecovery& recovery, WorkerPool& pool);

// The running sums of the vectors of one attempt.
class MaskedSum {
 public:
  // The vectors passed check(SecAggConfig).
  explicit MaskedSum(const std::vector<VectorSpec>& vectors);
  // A run of one member's masked words. Errors: kInvalidMessage for a run outside the vector.
  Result<void> add(std::size_t vector, std::uint64_t first_word, std::span<const std::uint64_t> words);
  void unmask(const MaskPlan& plan, WorkerPool& pool);
  std::span<const std::uint64_t> words(std::size_t vector) const { return sums_.at(vector); }
  std::vector<std::int64_t> values(std::size_t vector) const;  // centred

 private:
  std::vector<VectorSpec> vectors_;
  std::vector<std::vector<std::uint64_t>> sums_;
};

class SecAggServer {
 public:
  enum class Phase { kJoining, kSharing, kConfirming, kMasking, kAgreeing, kUnmasking, kCommitted, kAborting, kAborted };

  // `work` outlives this. Errors: kInvalidMessage, kInvalidArgument: the terms do not hold.
  static Result<std::unique_ptr<SecAggServer>> begin(SecAggConfig config, const VerifyKey& authority, PublicWork& work,
                                                     SecureRandom& random);
  // Everything from the mask order on: before it nobody has masked, and an attempt is simply abandoned. The
  // sealed shares are not in it, for they are delivered.
  Bytes snapshot() const;
  // The machine that goes on exactly where the one that wrote the snapshot stopped. Errors: kCorrupted.
  static Result<std::unique_ptr<SecAggServer>> restore(ByteSpan snapshot, const VerifyKey& authority, PublicWork& work,
                                                       SecureRandom& random);
  SecAggServer(const SecAggServer&) = delete;
  SecAggServer& operator=(const SecAggServer&) = delete;

  Bytes invitation() const;
  // Any message of a member's. What to send at once is returned: a certificate, when a vote completes it.
  // Errors: kInvalidMessage, kAlreadyExists, kResourceExhausted; the message then changed nothing.
  Result<std::vector<Outgoing>> handle(ByteSpan message);
  // The vectors of this member are stored, and their MaskedHash is this.
  Result<void> on_vectors(std::uint32_t member, const Digest& masked);

  // Ends the phase and says what to send. Errors: kUnavailable where too few are left: abort, and try
  // again with fresh keys; kInvalidArgument out of turn.
  // Joins' signatures are verified here, all at once: whose do not hold are in unsigned_joins() then.
  Result<std::vector<Outgoing>> close_joins();
  Result<std::vector<Outgoing>> close_shares();
  Result<std::vector<Outgoing>> close_confirmations();
  // `reservation`: the hash of the ledger's record, durable already.
  Result<std::vector<Outgoing>> close_masks(const Digest& reservation);
  // When every secret has a threshold of shares (can_recover()), or no more will come.
  Result<SumRecovery> close_unmasking();
  // The same of the shares that are here, while more may come.
  Result<SumRecovery> recovery() const;
  // Asks the surviving neighbours of dropped members what they masked with them, where their shares do not open their
  // keys; all that were asked for is in recovery() once it is here. Errors: kInvalidArgument for others.
  Result<std::vector<Outgoing>> ask_seeds(const std::vector<std::uint32_t>& dealers);
  std::vector<std::uint32_t> seeds_withheld() const;  // who owes seeds that were asked for, and has not told them
  // A certificate that was made before this machine stopped. Errors: kInvalidMessage.
  Result<void> adopt(const OutcomeMessage& certificate);
  // Asks the committee for its ABORT; handle() returns the certificate. On a complete graph also after a COMMIT,
  // of which nothing is opened from then on.
  Result<std::vector<Outgoing>> abort();

  Phase phase() const { return phase_; }
  const SecAggConfig& config() const { return config_; }
  const SecAggCohort* cohort() const { return cohort_.get(); }
  std::size_t joined() const { return joins_.size(); }
  // Whose join was taken and is left out: not vouched for by the authority, or its keys not signed for these terms.
  const std::vector<SubjectId>& unsigned_joins() const { return unsigned_joins_; }
  const MemberSet& maskers() const { return maskers_; }
  const MemberSet& survivors() const { return survivors_; }
  bool can_recover() const;
  // Enough of the committee signed no COMMIT yet; on a complete graph: revealed no share yet. As far as is known here.
  bool can_abort() const;
  std::size_t aborting() const { return aborts_.size(); }  // signed the ABORT
  bool can_close_masks() const;                // enough vectors are here, and close enough on the ring
  bool awaits(std::uint32_t member) const;     // a message of this member's, in this phase
  // What this phase tells this member, for one that may have lost it. After the roster only.
  std::optional<Bytes> due_to(std::uint32_t member) const;
  // While shares are awaited: the list of survivors, for one that signed no COMMIT here. It may never have seen the
  // list, and then it can do nothing with the certificate.
  std::optional<Bytes> missed_by(std::uint32_t member) const;
  const std::vector<Blame>& blame() const { return blame_; }
  const std::vector<EvidenceMessage>& evidence() const { return evidence_; }
  const std::optional<OutcomeMessage>& certificate() const { return certificate_; }

 private:
  using Sent = Result<std::vector<Outgoing>>;
  SecAggServer(SecAggConfig config, const VerifyKey& authority, PublicWork& work, AgreementKey probe, RistrettoKey point_probe);
  Sent on(const JoinMessage& m);
  Sent on(const SharesMessage& m);
  Sent on(const ConfirmMessage& m);
  Sent on(const MaskedMessage& m);
  Sent on(const VoteMessage& m);
  Sent on(const UnmaskMessage& m);
  Sent on(const PairSeedsMessage& m);
  std::vector<std::uint32_t> seeds_owed(std::uint32_t member) const;  // dealers; whether it has told them or not
  template <class Other>
  Sent on(const Other&) {
    return unexpected(ErrorCode::kInvalidMessage, "secure aggregation: the coordinator sends such messages, and does not receive them");
  }
  Result<void> expect(Phase phase, const AttemptId& id, std::uint32_t member) const;
  Result<void> expect_signed(std::string_view domain, std::uint32_t member, ByteSpan statement, const Signature& signature) const;
  void judge(const ConfirmMessage& m);
  void accuse(std::uint32_t member, const std::string& what);  // once: whoever lies can do it at will
  void verify_joins();
  bool signed_join(const SubjectId& subject);  // false: it was not, and is gone
  Result<void> check_revealed(const UnmaskMessage& m) const;
  Unexpected too_few(const char* what, std::uint32_t count, std::uint32_t needed) const;
  std::vector<std::uint32_t> everyone() const;
  MemberSet arrived() const;
  SurvivorsMessage survivors_for(std::uint32_t member) const;
  DeliveryMessage delivery_for(std::uint32_t member) const;
  void open_agreement(MemberSet survivors, const Digest& reservation);
  Result<void> read_members(ByteReader& in);
  Result<void> read_votes(ByteReader& in);

  struct Member {
    std::optional<SharesMessage> shares;
    std::vector<std::uint32_t> neighbours;
    bool confirmed = false;
    bool convicted = false;
    std::optional<MaskedMessage> masked;
    bool arrived = false;
    std::optional<UnmaskMessage> unmask;
    std::optional<PairSeedsMessage> seeds;
  };

  const SecAggConfig config_;
  const VerifyKey authority_;
  PublicWork& work_;
  const AgreementKey probe_;        // tells keys of small order
  const RistrettoKey point_probe_;
  const Digest sid_;
  const Digest config_hash_;
  Phase phase_ = Phase::kJoining;
  std::map<SubjectId, RosterEntry> joins_;
  std::vector<SubjectId> unsigned_joins_;
  std::shared_ptr<const SecAggCohort> cohort_;
  std::vector<Member> members_;
  MemberSet maskers_;
  MemberSet survivors_;
  MemberSet seeds_asked_;  // of whom
  Digest reservation_;
  Bytes commit_;
  std::map<std::uint32_t, Signature> commits_;
  std::map<std::uint32_t, Signature> aborts_;
  std::optional<OutcomeMessage> certificate_;
  std::vector<Blame> blame_;
  std::vector<EvidenceMessage> evidence_;
};

}  // namespace covey
