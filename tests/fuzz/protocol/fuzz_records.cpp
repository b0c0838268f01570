// Rows of the durable tables, as a damaged disk gives them back. Every decoder gets every input.
#include <cstddef>
#include <cstdint>

#include "core/base/check.h"
#include "core/protocol/audit.h"
#include "core/protocol/chain.h"
#include "core/protocol/ledger.h"
#include "core/protocol/records.h"

namespace {

template <class Value>
void written_the_same(const covey::Result<Value>& value, covey::ByteSpan input) {
  if (value)
    COVEY_CHECK(covey::encode(*value) == covey::Bytes(input.begin(), input.end()));
  else
    COVEY_CHECK(value.error().code == covey::ErrorCode::kCorrupted);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const covey::ByteSpan input(data, size);
  written_the_same(covey::decode_job_summary(input), input);
  written_the_same(covey::decode_round_metrics(input), input);
  written_the_same(covey::decode_client_metrics(input), input);
  written_the_same(covey::decode_update_ready(input), input);
  written_the_same(covey::decode_journal_entry(input), input);
  written_the_same(covey::decode_node_summary(input), input);
  written_the_same(covey::decode_chain_record(input), input);
  written_the_same(covey::decode_audit_entry(input), input);
  written_the_same(covey::decode_release_record(input), input);
  return 0;
}
