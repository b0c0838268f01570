#include "privacy/secagg_complaint.h"

#include "core/base/wire.h"
#include "core/crypto/aead.h"

namespace covey {
namespace {

constexpr std::string_view kProofDomain = "covey secagg complaint v1";
Unexpected unfounded(const std::string& why) {
  return unexpected(ErrorCode::kInvalidMessage, "the complaint does not hold: " + why);
}

Bytes context_of(const Channel& c) { return sealing_context(c.id, c.dealer_place, c.receiver_place); }

}  // namespace

SealedShares seal_shares(const Channel& c, const DealtShares& shares, const Secret<32>& shared, SecureRandom& random) {
  std::array<std::uint8_t, 2 * kShareBytes> text{};
  std::copy_n(shares.masking_key.value.expose().begin(), kShareBytes, text.begin());
  std::copy_n(shares.self_mask.value.expose().begin(), kShareBytes, text.begin() + kShareBytes);
  const Bytes context = context_of(c);
  const Bytes sealed = Aead(sealing_key(c.id, c.dealer, c.receiver, shared)).seal(text, {kSealDomain, context}, random);
  wipe(text);
  auto fixed = fixed_from<SealedShares>(sealed);
  COVEY_CHECK(fixed.has_value());
  return *fixed;
}

Result<DealtShares> open_shares(const Channel& c, const SealedShares& sealed, const Secret<32>& shared) {
  const Bytes context = context_of(c);
  COVEY_TRY(Bytes text, Aead(sealing_key(c.id, c.dealer, c.receiver, shared)).open(sealed.span(), {kSealDomain, context}));
  DealtShares shares;
  shares.masking_key.x = shares.self_mask.x = c.receiver_place + 1;
  std::copy_n(text.begin(), kShareBytes, shares.masking_key.value.expose().begin());
  std::copy_n(text.begin() + kShareBytes, kShareBytes, shares.self_mask.value.expose().begin());
  wipe(text);
  COVEY_TRY_VOID(check_share(shares.masking_key));
  COVEY_TRY_VOID(check_share(shares.self_mask));
  return shares;
}

Result<Complaint> complain(const Channel& c, const SealedShares& sealed, const RistrettoKey& key, SecureRandom& random) {
  Complaint complaint;
  complaint.dealer = c.dealer_place;
  complaint.leaf = leaf_hash(sealed);
  COVEY_TRY(const Secret<32> shared, key.shared_point(c.dealer.sealing_key));
  std::copy(shared.expose().begin(), shared.expose().end(), complaint.shared.bytes.begin());
  COVEY_TRY(complaint.proof, key.prove(c.dealer.sealing_key, kProofDomain, context_of(c), random));
  return complaint;
}

Result<void> check_complaint(const Channel& c, const SealedShares& sealed, const Complaint& complaint) {
  if (complaint.dealer != c.dealer_place || complaint.leaf != leaf_hash(sealed))
    return unfounded("it is about other shares than the dealer sealed");
  const AgreementClaim claim{c.receiver.sealing_key, c.dealer.sealing_key, complaint.shared};
  if (!verify_agreement(claim, kProofDomain, context_of(c), complaint.proof)) return unfounded("the proof of its key fails");
  if (open_shares(c, sealed, Secret<32>(complaint.shared.bytes))) return unfounded("the shares open");
  return {};
}

Result<void> check_evidence(const EvidenceMessage& e, const SecAggConfig& config, const VerifyKey& authority, PublicWork& work) {
  const Digest config_hash = hash_of(config);
  if (e.id.sid != sid_of(config)) return unfounded("it is of another attempt");
  for (const RosterEntry* entry : {&e.dealer, &e.receiver}) {
    if (!work.verified(authority, kCredentialDomain, signed_bytes(entry->credential), entry->credential.signature) ||
        !work.verified(entry->credential.key, kJoinDomain, join_statement(*entry, e.id.sid, config_hash), entry->signature))
      return unfounded("a party to it was not in the attempt");
  }
  const auto root = root_of_path(leaf_hash(e.leaf), e.leaf_place, e.leaves, e.path);
  if (!root || !work.verified(e.dealer.credential.key, kSharesDomain,
                              shares_statement(e.id, e.dealer_place, e.commitment, *root), e.dealt))
    return unfounded("the dealer did not sign these shares");
  return check_complaint({e.id, e.dealer, e.receiver, e.dealer_place, e.receiver_place}, e.leaf, e.complaint);
}

}  // namespace covey
