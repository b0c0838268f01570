// Messages of secure aggregation and a member's own records: whatever is accepted is written again with
// the same bytes, and nothing a stranger sends is evidence.
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "privacy/attempt_book.h"
#include "privacy/secagg_complaint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const covey::ByteSpan input(data, size);
  const covey::Bytes given(data, data + size);
  const auto message = covey::decode_secagg_message(input);
  if (message) {
    COVEY_CHECK(covey::encode(*message) == given);
    covey::PublicWork work;
    if (const auto* evidence = std::get_if<covey::EvidenceMessage>(&*message))
      COVEY_CHECK(!covey::check_evidence(*evidence, covey::SecAggConfig{}, covey::VerifyKey{}, work));
  } else {
    COVEY_CHECK(message.error().code == covey::ErrorCode::kInvalidMessage);
  }
  const auto record = covey::decode_attempt_record(input);
  if (record && given.front() == covey::encode(*record).front())  // not where an older version was read
    COVEY_CHECK(covey::encode(*record) == given);
  const auto config = covey::decode_secagg_config(input);
  if (config) COVEY_CHECK(covey::encode(*config) == given);
  return 0;
}
