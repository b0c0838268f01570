// Charges of a release, out of a ledger that someone else kept: whatever is accepted is written again with the same
// bytes, states at least what its own terms cost, and can be added up.
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "privacy/dp_charge.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto charge = covey::decode_charge({data, size});
  if (!charge) {
    COVEY_CHECK(charge.error().code == covey::ErrorCode::kCorrupted);
    return 0;
  }
  COVEY_CHECK(covey::encode(*charge) == covey::Bytes(data, data + size));
  COVEY_CHECK(charge->terms.sampling_chance == 1 || charge->cohort == covey::CohortDraw::kPoissonBeacon);
  covey::PrivacyAccount account({});
  account.replay(*charge);
  const auto spent = account.spent();
  if (spent) COVEY_CHECK(spent->against_coordinator >= 0 && spent->against_readers >= 0);
  return 0;
}
