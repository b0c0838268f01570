// The messages of secure aggregation, in Covey's own wire format (core/base/wire.h): they travel as
// opaque bytes inside the network's messages. Every decoder bounds every length, accepts exactly what
// its encoder writes, and answers anything else with kInvalidMessage. Byte by byte: section 5 of
// docs/secure_aggregation.md.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "core/base/bytes.h"
#include "core/crypto/agreement_key.h"
#include "core/crypto/ristretto_key.h"
#include "core/crypto/signing_key.h"
#include "privacy/secagg_terms.h"
#include "privacy/shamir.h"

namespace covey {

using RosterRoot = FixedBytes<32, struct RosterRootTag>;
using SealedShares = FixedBytes<2 * kShareBytes + 40, struct SealedSharesTag>;  // nonce, two shares, tag
using ShareValue = FixedBytes<kShareBytes, struct ShareValueTag>;

// Which members, by their place in the roster.
class MemberSet {
 public:
  MemberSet() = default;
  explicit MemberSet(std::uint32_t members) : members_(members), bits_((members + 7) / 8) {}
  static Result<MemberSet> from_bits(std::uint32_t members, ByteSpan bits);
  std::uint32_t members() const { return members_; }
  bool contains(std::uint32_t i) const { return i < members_ && (bits_[i / 8] >> (i % 8) & 1) != 0; }
  void insert(std::uint32_t i);
  void remove(std::uint32_t i);
  std::uint32_t count() const;
  bool subset_of(const MemberSet& other) const;
  const Bytes& bits() const { return bits_; }
  bool operator==(const MemberSet&) const = default;

 private:
  std::uint32_t members_ = 0;
  Bytes bits_;
};
Digest hash_of(const MemberSet& set);

struct AttemptId {  // of one roster of one attempt
  Digest sid;
  RosterRoot root;
  bool operator==(const AttemptId&) const = default;
};

struct RosterEntry {
  MemberCredential credential;
  RistrettoPoint sealing_key;       // pkE, fresh
  AgreementPublicKey masking_key;   // pkM, fresh
  AttemptNonce nonce;               // fresh
  bool has_aes = false;             // this machine has AES instructions
  Signature signature;              // by credential.key, over sid, H(config) and all of the above
  bool operator==(const RosterEntry&) const = default;
};
inline constexpr std::size_t kRosterEntryBytes = kCredentialBytes + 32 + 32 + 32 + 1 + 64;

// R0
struct InviteMessage {
  SecAggConfig config;
  bool operator==(const InviteMessage&) const = default;
};
struct JoinMessage {
  Digest sid;
  RosterEntry entry;
  bool operator==(const JoinMessage&) const = default;
};
// R1
struct RosterMessage {
  Digest sid;
  std::vector<RosterEntry> entries;  // by subject, ascending
  bool operator==(const RosterMessage&) const = default;
};
struct SharesMessage {
  AttemptId id;
  std::uint32_t member = 0;
  Digest commitment;                 // to the seed of the own mask
  std::vector<SealedShares> sealed;  // one per neighbour, by place, ascending
  Signature signature;               // over id, member, commitment and the Merkle root of `sealed`
  bool operator==(const SharesMessage&) const = default;
};
struct DeliveredShares {
  std::uint32_t dealer = 0;
  SealedShares sealed;
  bool operator==(const DeliveredShares&) const = default;
};
struct DeliveryMessage {
  AttemptId id;
  std::vector<DeliveredShares> shares;  // by dealer, ascending
  bool operator==(const DeliveryMessage&) const = default;
};
// "What this dealer sealed for me does not open": the key they share, and a proof that it is that key.
struct Complaint {
  std::uint32_t dealer = 0;
  Digest leaf;
  RistrettoPoint shared;
  AgreementProof proof;
  bool operator==(const Complaint&) const = default;
};
struct ConfirmMessage {
  AttemptId id;
  std::uint32_t member = 0;
  std::vector<Complaint> complaints;  // by dealer, ascending
  Signature signature;
  bool operator==(const ConfirmMessage&) const = default;
};
// R2
struct MaskOrderMessage {
  AttemptId id;
  MemberSet maskers;  // U2
  bool operator==(const MaskOrderMessage&) const = default;
};
struct MaskedMessage {
  AttemptId id;
  std::uint32_t member = 0;
  Digest maskers;  // H(U2)
  Digest masked;   // H(y)
  Signature signature;
  bool operator==(const MaskedMessage&) const = default;
};
// R3
struct NeighbourMasked {
  std::uint32_t member = 0;
  Digest masked;
  Signature signature;
  bool operator==(const NeighbourMasked&) const = default;
};
struct SurvivorsMessage {
  AttemptId id;
  MemberSet survivors;  // U3
  Digest reservation;   // of the coordinator's ledger record, durable already
  std::vector<NeighbourMasked> neighbours;  // the receiver's, in U3, by place, ascending
  bool operator==(const SurvivorsMessage&) const = default;
};
enum class Verdict : std::uint8_t { kCommit = 1, kAbort = 2 };
struct AbortRequestMessage {
  AttemptId id;
  bool operator==(const AbortRequestMessage&) const = default;
};
struct VoteMessage {
  AttemptId id;
  Verdict verdict = Verdict::kCommit;
  std::uint32_t member = 0;
  Signature signature;  // over the verdict's statement
  bool operator==(const VoteMessage&) const = default;
};
// R4
struct CommitteeSignature {
  std::uint32_t member = 0;
  Signature signature;
  bool operator==(const CommitteeSignature&) const = default;
};
struct OutcomeMessage {
  AttemptId id;
  Verdict verdict = Verdict::kCommit;
  std::vector<CommitteeSignature> signatures;  // by place, ascending
  bool operator==(const OutcomeMessage&) const = default;
};
enum class ShareKind : std::uint8_t { kSelfMask = 1, kMaskingKey = 2 };
struct RevealedShare {
  std::uint32_t dealer = 0;
  ShareKind kind = ShareKind::kSelfMask;
  ShareValue value;
  bool operator==(const RevealedShare&) const = default;
};
struct UnmaskMessage {
  AttemptId id;
  std::uint32_t member = 0;
  std::vector<RevealedShare> shares;  // by dealer, ascending
  Signature signature;
  bool operator==(const UnmaskMessage&) const = default;
};
// After R4, where a dropped member's shares do not open its masking key: its neighbours' own halves of what they masked with.
struct SeedsRequestMessage {
  AttemptId id;
  MemberSet dealers;  // of U2, and not of U3
  bool operator==(const SeedsRequestMessage&) const = default;
};
struct PairSeed {
  std::uint32_t dealer = 0;
  FixedBytes<32, struct PairSeedTag> seed;
  bool operator==(const PairSeed&) const = default;
};
struct PairSeedsMessage {
  AttemptId id;
  std::uint32_t member = 0;
  std::vector<PairSeed> seeds;  // by dealer, ascending
  Signature signature;
  bool operator==(const PairSeedsMessage&) const = default;
};
// For anyone: that a dealer sealed what does not open.
struct EvidenceMessage {
  AttemptId id;
  RosterEntry dealer;
  RosterEntry receiver;
  std::uint32_t dealer_place = 0;
  std::uint32_t receiver_place = 0;
  Digest commitment;
  Signature dealt;              // the dealer's, of its SharesMessage
  std::uint32_t leaf_place = 0;
  std::uint32_t leaves = 0;
  SealedShares leaf;
  std::vector<Digest> path;     // from the leaf up
  Complaint complaint;
  bool operator==(const EvidenceMessage&) const = default;
};

using SecAggMessage =
    std::variant<InviteMessage, JoinMessage, RosterMessage, SharesMessage, DeliveryMessage, ConfirmMessage,
                 MaskOrderMessage, MaskedMessage, SurvivorsMessage, AbortRequestMessage, VoteMessage, OutcomeMessage,
                 UnmaskMessage, EvidenceMessage, SeedsRequestMessage, PairSeedsMessage>;
// The largest message of each kind is the roster; nothing longer is looked at.
inline constexpr std::size_t kSecAggMessageBytesMax = 64 + kSecAggMembersMax * kRosterEntryBytes;

Bytes encode(const SecAggMessage& message);
Result<SecAggMessage> decode_secagg_message(ByteSpan bytes);

// What signatures are made over; their domains keep them apart.
inline constexpr std::string_view kJoinDomain = "covey secagg join v1";
inline constexpr std::string_view kSharesDomain = "covey secagg shares v1";
inline constexpr std::string_view kConfirmDomain = "covey secagg confirm v1";
inline constexpr std::string_view kMaskedDomain = "covey secagg masked v1";
inline constexpr std::string_view kOutcomeDomain = "covey secagg outcome v1";
inline constexpr std::string_view kUnmaskDomain = "covey secagg unmask v1";
inline constexpr std::string_view kPairSeedsDomain = "covey secagg pair seeds v1";
Bytes join_statement(const RosterEntry& entry, const Digest& sid, const Digest& config_hash);
Bytes shares_statement(const AttemptId& id, std::uint32_t member, const Digest& commitment, const Digest& merkle_root);
Bytes confirm_statement(const ConfirmMessage& message);
Bytes masked_statement(const AttemptId& id, std::uint32_t member, const Digest& maskers, const Digest& masked);
struct Survivors {
  Digest maskers;      // H(U2)
  Digest survivors;    // H(U3)
  Digest reservation;
  bool operator==(const Survivors&) const = default;
};
Bytes commit_statement(const AttemptId& id, const Survivors& survivors);
Bytes abort_statement(const AttemptId& id);
Bytes unmask_statement(const UnmaskMessage& message);
Bytes pair_seeds_statement(const PairSeedsMessage& message);

// The Merkle tree of a dealer's sealed shares: BLAKE2b over 0 and the leaf, or 1 and both halves; an
// odd node is carried up as it is.
Digest leaf_hash(const SealedShares& leaf);
Digest merkle_root(std::span<const SealedShares> leaves);
std::vector<Digest> merkle_path(std::span<const SealedShares> leaves, std::uint32_t place);
// Nothing where the path has another length than such a tree's.
std::optional<Digest> root_of_path(const Digest& leaf, std::uint32_t place, std::uint32_t leaves,
                                   std::span<const Digest> path);

}  // namespace covey
