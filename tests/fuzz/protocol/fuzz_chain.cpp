// Records of the audit chain and the release ledger, from a damaged disk, a coordinator that lies to
// its operator, or a saved file that someone changed.
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/protocol/audit.h"
#include "core/protocol/ledger.h"
#include "tests/fuzz/protocol/written_the_same.h"

using covey::fuzz::written_the_same;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const covey::ByteSpan input(data, size);
  written_the_same(covey::decode_audit_entry(input), input);
  written_the_same(covey::decode_release_record(input), input);
  const auto record = covey::decode_chain_record(input);
  written_the_same(record, input);
  if (!record) return 0;
  covey::ChainReader unsigned_chain(covey::kAuditChain, {record->sequence - 1, record->previous});
  covey::ChainReader signed_chain(covey::kLedgerChain);
  COVEY_CHECK(unsigned_chain.follow(*record).has_value());
  COVEY_CHECK(!signed_chain.follow(*record, covey::VerifyKey{}));
  return 0;
}
