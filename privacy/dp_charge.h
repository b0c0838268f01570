// What one release of a noised sum costs: made before the release, written into the ledger's record
// (ReleaseRecord::charge), and checked by whoever reads it. A charge is a function of public terms, so that a reader
// computes it again instead of believing it.
//
// Two figures, for two readers. Against the coordinator and the members, who see who took part: sampling hides nothing,
// q = 1. Against those who only see models: the chance q counts, if and only if every member was drawn independently,
// by a beacon that nobody among those who profit could choose, and none of the drawn was left out for lack of room.
// Any other cohort (who came first, a fixed size, a list cut off) is charged with q = 1; claiming less is refused.
// The neighbouring data set is the one in which a member sends zeros, and its noise stays (zero-out).
#pragma once
#include <cstdint>
#include <vector>

#include "core/protocol/credential.h"
#include "privacy/noise_share.h"
#include "privacy/rdp.h"
#include "privacy/secagg_params.h"

namespace covey {

enum class CohortDraw : std::uint8_t {
  kFixedMembership = 0,  // everybody who is registered, each round
  kPoissonBeacon = 1,    // each registered member by drawn() of its subject
  kCheckIn = 2,          // who came, as they came
  kFixedSize = 3,        // so many of all, whoever drew them
};
const char* name_of(CohortDraw draw);

// Why a cohort may be called what it is.
struct CohortEvidence {
  CohortDraw kind = CohortDraw::kFixedMembership;
  Draw draw;                          // of kPoissonBeacon; its chance is the q that may be claimed
  std::vector<SubjectId> registered;  // of kPoissonBeacon: all who could have been drawn, in the frozen registry's order
  std::vector<SubjectId> invited;     // the roster before anyone dropped out
};

struct ReleaseTerms {
  NoiseMechanism mechanism = NoiseMechanism::kDiscreteGaussian;
  RoundingTerms rounding;
  NoiseShare share;                 // of noise_share(): planned, whoever then survives
  std::uint32_t corrupt_max = 0;    // A
  std::uint32_t members = 0;        // n, of the roster
  std::uint32_t survivors = 0;      // |U3|
  double sampling_chance = 1;       // q that is claimed
};

struct DpCharge {
  ReleaseTerms terms;
  CohortDraw cohort = CohortDraw::kFixedMembership;
  Digest beacon;                    // of kPoissonBeacon, else zero
  std::uint64_t chance_2_64 = 0;    // the same
  Digest registry;                  // registry_digest of those who could have been drawn
  RdpCurve against_coordinator;     // q = 1
  RdpCurve against_readers;         // q
  double total_variation = 0;       // of the whole release from its law, at most
};
Digest registry_digest(const std::vector<SubjectId>& registered);

// Errors: kInvalidArgument, naming the term: a chance below 1 without the evidence for it, fewer survivors than the
// noise was planned for, or noise that no theorem here covers.
Result<DpCharge> charge_for(const ReleaseTerms& terms, const CohortEvidence& evidence);

// Version 1; below 2.5 KiB, which the record's slot holds. Curves are at whole_orders().
Bytes encode(const DpCharge& charge);
// Computes the curves again out of the terms and refuses what claims less. Without the evidence itself it believes the
// beacon and the registry's digest, which check_cohort() holds against the registry. Errors: kCorrupted.
Result<DpCharge> decode_charge(ByteSpan bytes);
// Errors: kCorrupted where this is not the cohort that the charge speaks of, or was not drawn as it says.
Result<void> check_cohort(const DpCharge& charge, const CohortEvidence& evidence);

// ---- what all releases of one data set have cost
struct PrivacyBudget {
  double delta = 1e-6;
  double epsilon_against_coordinator = 8;
  double epsilon_against_readers = 8;
};

struct PrivacySpent {
  double against_coordinator = 0;  // epsilon at the budget's delta
  double against_readers = 0;
  std::uint64_t releases = 0;
};

// Adds up charges; nothing is ever taken off. A reservation counts from the moment it is made, released or not, and
// after a restart the ledger's records are reserved again, in their order: `replay`.
class PrivacyAccount {
 public:
  explicit PrivacyAccount(const PrivacyBudget& budget);  // 0 < delta < 1, epsilons > 0
  // Errors: kResourceExhausted, with what would have been spent and the bound; nothing is then added.
  Result<PrivacySpent> reserve(const DpCharge& charge);
  // A charge that is in the ledger already: counted whatever the budget says now.
  void replay(const DpCharge& charge);
  Result<PrivacySpent> spent() const;  // errors: kResourceExhausted where flaws have eaten delta

 private:
  struct Sums {
    RdpCurve coordinator, readers;
    double total_variation = 0;
    std::uint64_t releases = 0;
  };
  static Sums with(Sums sums, const DpCharge& charge);
  Result<PrivacySpent> value_of(const Sums& sums) const;
  PrivacyBudget budget_;
  Sums sums_;
};

}  // namespace covey
