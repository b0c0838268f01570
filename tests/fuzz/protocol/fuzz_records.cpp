// Rows of the durable tables, as a damaged disk gives them back. Every decoder gets every input.
#include <cstddef>
#include <cstdint>

#include "core/protocol/records.h"
#include "tests/fuzz/protocol/written_the_same.h"

using covey::fuzz::written_the_same;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const covey::ByteSpan input(data, size);
  written_the_same(covey::decode_job_summary(input), input);
  written_the_same(covey::decode_round_metrics(input), input);
  written_the_same(covey::decode_client_metrics(input), input);
  written_the_same(covey::decode_update_ready(input), input);
  written_the_same(covey::decode_journal_entry(input), input);
  written_the_same(covey::decode_node_summary(input), input);
  return 0;
}
