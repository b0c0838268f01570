// A roster that was verified, and everything that follows from it alone: the graph, the ring, who is
// whose neighbour, the committee. Coordinator and clients compute it alike.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/crypto/kdf.h"
#include "privacy/secagg_messages.h"

namespace covey {

// Work on public values that any number of state machines in one process repeat alike: signatures and
// cohorts. Signatures that held are remembered by the hash of all that they speak of: a member's credential is the same in
// every round, and the coordinator meets each join twice. A client's process keeps no more; a simulator with
// a thousand members in one process lets them share one (kRemember), and each result is computed once. Not for threads.
class SecAggCohort;

struct SignedClaim {
  VerifyKey key;
  std::string_view domain;
  Bytes message;
  Signature signature;
};
// part(0) ... part(count - 1), each once, on any threads; returns when all are done (WorkerPool::share). None: in turn.
using ShareWork = std::function<void(std::size_t count, const std::function<void(std::size_t)>& part)>;

class PublicWork {
 public:
  enum class Memory { kForget, kRemember };
  // `share` verifies many signatures at once; what it calls, outlives this.
  explicit PublicWork(Memory memory = Memory::kForget, ShareWork share = {}) : memory_(memory), share_(std::move(share)) {}

  bool verified(const VerifyKey& key, std::string_view domain, ByteSpan message, const Signature& signature);
  // The same of each; the answers do not depend on who shares the work.
  std::vector<bool> all_verified(std::span<const SignedClaim> claims);
  // Errors: kInvalidMessage: see SecAggCohort::of().
  Result<std::shared_ptr<const SecAggCohort>> cohort(const SecAggConfig& config, const VerifyKey& authority,
                                                     const RosterMessage& roster);

 private:
  std::optional<bool> known(const Digest& name) const;
  void remember(const Digest& name, bool holds);

  Memory memory_;
  ShareWork share_;
  std::unordered_map<Digest, bool, FixedBytesHash> signatures_;
  static constexpr std::size_t kRecentMax = kSecAggMembersMax;
  std::unordered_set<Digest, FixedBytesHash> recent_, older_;  // that held; the older go when the recent are so many
  // Shared with every machine that runs the attempt: a roster of 10,000 is 3 MB.
  std::unordered_map<Digest, std::shared_ptr<const SecAggCohort>, FixedBytesHash> cohorts_;
};

class SecAggCohort {
 public:
  // Errors: kInvalidMessage, naming the first of: a number of members outside the terms, subjects out of
  // order or twice, a key used twice, a credential of another epoch or authority, a join that its member did not sign for these terms; kInvalidArgument where no graph serves;
  // kResourceExhausted where the ring's order cannot be computed.
  static Result<std::shared_ptr<const SecAggCohort>> of(const SecAggConfig& config, const VerifyKey& authority,
                                                        const RosterMessage& roster, PublicWork& work);

  const AttemptId& id() const { return id_; }
  const Digest& config_hash() const { return config_hash_; }
  const std::vector<RosterEntry>& entries() const { return entries_; }
  std::uint32_t members() const { return graph_.members; }
  const Graph& graph() const { return graph_; }
  PrgCipher cipher() const { return cipher_; }
  std::uint32_t survivors_needed() const { return survivors_needed_; }

  std::vector<std::uint32_t> neighbours(std::uint32_t member) const;  // by place, ascending
  bool are_neighbours(std::uint32_t a, std::uint32_t b) const;
  bool in_committee(std::uint32_t member) const;
  const std::vector<std::uint32_t>& ring() const { return ring_; }  // members by position; empty when complete
  const std::vector<std::uint32_t>& committee() const { return committee_; }  // by place, ascending
  // Every k/2 positions of the ring in a row hold at least w of `set`. True when the graph is complete.
  bool every_window_holds(const MemberSet& set) const;
  // A certificate: Q distinct members of the committee (of an ABORT: Graph::abort_quorum) signed this statement.
  // Errors: kInvalidMessage.
  Result<void> check_certificate(const OutcomeMessage& outcome, ByteSpan statement, PublicWork& work) const;

 private:
  SecAggCohort() = default;
  Result<void> check_entries(const SecAggConfig& config, const VerifyKey& authority, PublicWork& work) const;
  Result<void> lay_ring();

  AttemptId id_;
  Digest config_hash_;
  std::vector<RosterEntry> entries_;
  Graph graph_;
  PrgCipher cipher_ = PrgCipher::kAes256Ctr;
  std::uint32_t survivors_needed_ = 0;
  std::vector<std::uint32_t> ring_;      // the member at each position; empty when complete
  std::vector<std::uint32_t> position_;  // of each member
  std::vector<std::uint32_t> committee_;
};

RosterRoot root_of(const Digest& sid, const Digest& config_hash, const RosterMessage& roster);

// What the authority signed of a member, and what the member signed of this attempt.
SignedClaim credential_claim(const RosterEntry& entry, const VerifyKey& authority);
SignedClaim join_claim(const RosterEntry& entry, const Digest& sid, const Digest& config_hash);

// A quorum's certificate, for whoever keeps the committee's keys but not the roster.
Result<void> check_signatures(const OutcomeMessage& outcome, ByteSpan statement, std::uint32_t quorum,
                              const std::vector<std::pair<std::uint32_t, VerifyKey>>& committee, PublicWork& work);

// The members by ring position, of a roster of `members`. Errors: kResourceExhausted.
Result<std::vector<std::uint32_t>> ring_order(const AttemptId& id, std::uint32_t members);

// One seed per pair for masks, one key per direction for sealed shares.
// `shared` is the X25519 secret of both masking keys; the same both ways. The root binds the model, H(U2)
// the set of maskers.
Secret<32> mask_seed(const AttemptId& id, const RosterEntry& one, const RosterEntry& other, const Secret<32>& shared,
                     const Digest& maskers);
// `shared` is the agreement of both sealing keys; the key for what `from` seals for `to`.
Secret<32> sealing_key(const AttemptId& id, const RosterEntry& from, const RosterEntry& to, const Secret<32>& shared);
Bytes sealing_context(const AttemptId& id, std::uint32_t from, std::uint32_t to);
inline constexpr std::string_view kSealDomain = "covey secagg seal v1";
// A lower place adds the pair's mask, the higher subtracts it.
inline Sign pair_sign(std::uint32_t self, std::uint32_t other) { return self < other ? Sign::kPlus : Sign::kMinus; }
// The commitment to a member's own mask seed.
Digest self_mask_commitment(const AttemptId& id, std::uint32_t member, const Secret<32>& seed);

}  // namespace covey
