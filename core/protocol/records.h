// Keys and values of the coordinator's and the client's durable tables (docs/durable_state.md).
// Every value begins with a version byte; numbers in keys are big-endian hex, so that a scan is in order.
#pragma once
#include <string>

#include "core/base/batch.h"
#include "core/protocol/job_spec.h"
#include "core/protocol/message.h"

namespace covey {

std::string hex_number(std::uint64_t value);  // 16 digits

// Encoders used in durable rows; decoders fail with kCorrupted naming the table.
Bytes encode(const JobSummary& summary);
Result<JobSummary> decode_job_summary(ByteSpan bytes);
Bytes encode(const RoundMetrics& metrics);
Result<RoundMetrics> decode_round_metrics(ByteSpan bytes);
Bytes encode(const ClientMetrics& metrics);
Result<ClientMetrics> decode_client_metrics(ByteSpan bytes);
Bytes encode(const UpdateReady& update);
Result<UpdateReady> decode_update_ready(ByteSpan bytes);
Bytes encode(const JournalEntry& entry);
Result<JournalEntry> decode_journal_entry(ByteSpan bytes);
Bytes encode(const NodeSummary& node);
Result<NodeSummary> decode_node_summary(ByteSpan bytes);

}  // namespace covey
