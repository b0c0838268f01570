// Shares on their way between two members: sealed, opened, and, where they do not open, complained
// about in a way that anyone can verify and nobody can make up.
#pragma once
#include "privacy/secagg_cohort.h"

namespace covey {

// What one dealer gives one holder.
struct DealtShares {
  Share masking_key;  // of the dealer's skM
  Share self_mask;    // of the dealer's b
};

struct Channel {
  AttemptId id;
  const RosterEntry& dealer;
  const RosterEntry& receiver;
  std::uint32_t dealer_place = 0;
  std::uint32_t receiver_place = 0;
};
SealedShares seal_shares(const Channel& channel, const DealtShares& shares, const Secret<32>& shared, SecureRandom& random);
// Errors: kInvalidMessage where it was sealed otherwise, or holds no two shares.
Result<DealtShares> open_shares(const Channel& channel, const SealedShares& sealed, const Secret<32>& shared);

// By the receiver, about what open_shares() refused. Errors: kInvalidMessage where the dealer's key is no
// point: then the roster was at fault.
Result<Complaint> complain(const Channel& channel, const SealedShares& sealed, const RistrettoKey& key, SecureRandom& random);
// Whether the dealer is to blame. Errors: kInvalidMessage where the complaint itself does not hold: about
// another leaf, with a wrong proof, or about shares that do open.
Result<void> check_complaint(const Channel& channel, const SealedShares& sealed, const Complaint& complaint);

// For those who saw neither: with the dealer's signature over the tree the leaf hangs in. `authority`
// vouches for both members. Errors: kInvalidMessage.
Result<void> check_evidence(const EvidenceMessage& evidence, const SecAggConfig& config, const VerifyKey& authority,
                            PublicWork& work);

}  // namespace covey
