#include "core/protocol/records.h"

#include "core/base/wire.h"

namespace covey {
namespace {

constexpr std::uint8_t kVersion = 1;

void put(ByteWriter& out, const BlobRef& blob) { out.fixed(blob.id).u64(blob.size); }
void put(ByteWriter& out, const RoundKey& key) { out.u64(key.job).u32(key.round).u32(key.attempt); }
void put(ByteWriter& out, const TrainStats& stats) {
  out.f64(stats.loss_sum).u64(stats.targets).u32(stats.steps).f64(stats.seconds);
}
void put(ByteWriter& out, const EvalStats& stats) { out.f64(stats.loss_sum).u64(stats.targets).u64(stats.correct); }
void put(ByteWriter& out, const Capability& capability) {
  out.text(capability.device).u32(capability.cores).u64(capability.memory_bytes).f64(capability.gflops);
}

// Braced initialisers are evaluated in order, which the wire order relies on.
BlobRef get_blob(ByteReader& in) { return BlobRef{in.fixed<Digest>(), in.u64()}; }
RoundKey get_key(ByteReader& in) { return RoundKey{in.u64(), in.u32(), in.u32()}; }
TrainStats get_train(ByteReader& in) { return TrainStats{in.f64(), in.u64(), in.u32(), in.f64()}; }
EvalStats get_eval(ByteReader& in) { return EvalStats{in.f64(), in.u64(), in.u64()}; }
Capability get_capability(ByteReader& in) { return Capability{in.text(), in.u32(), in.u64(), in.f64()}; }

// `last` is the enum's last value; they count from 1.
template <class Enum>
Enum get_enum(ByteReader& in, Enum last) {
  const std::uint8_t value = in.u8();
  if (value == 0 || value > static_cast<std::uint8_t>(last)) in.refuse();
  return static_cast<Enum>(value);
}

// Reads one value behind its version byte; the whole record must be used up.
template <class T, class Read>
Result<T> decode(ByteSpan bytes, const char* what, Read read) {
  ByteReader in(bytes);
  const std::uint8_t version = in.u8();
  if (version != kVersion)
    return unexpected(ErrorCode::kCorrupted, std::string(what) + " has version " + std::to_string(version) +
                                                 ", this program reads " + std::to_string(kVersion));
  T value = read(in);
  COVEY_TRY_VOID(in.finish(what));
  return value;
}

}  // namespace

std::string hex_number(std::uint64_t value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text(16, '0');
  for (std::size_t i = 0; i < 16; ++i) text[15 - i] = kDigits[(value >> (4 * i)) & 15];
  return text;
}

Bytes encode(const JobSummary& summary) {
  ByteWriter out;
  out.u8(kVersion).u64(summary.job).text(summary.name).u8(static_cast<std::uint8_t>(summary.state));
  out.u32(summary.round).u32(summary.rounds).u32(summary.attempt).u32(summary.cohort).u32(summary.delivered);
  out.instant(summary.submitted).instant(summary.ended).text(summary.text);
  put(out, summary.model);
  return out.take();
}

Result<JobSummary> decode_job_summary(ByteSpan bytes) {
  return decode<JobSummary>(bytes, "job summary", [](ByteReader& in) {
    JobSummary summary;
    summary.job = in.u64();
    summary.name = in.text();
    summary.state = get_enum(in, JobState::kStopped);
    summary.round = in.u32();
    summary.rounds = in.u32();
    summary.attempt = in.u32();
    summary.cohort = in.u32();
    summary.delivered = in.u32();
    summary.submitted = in.instant();
    summary.ended = in.instant();
    summary.text = in.text();
    summary.model = get_blob(in);
    return summary;
  });
}

Bytes encode(const RoundMetrics& metrics) {
  ByteWriter out;
  out.u8(kVersion).u32(metrics.round).u32(metrics.attempt).u32(metrics.cohort).u32(metrics.delivered);
  out.u32(metrics.declined).u64(metrics.examples);
  put(out, metrics.train);
  put(out, metrics.evaluation);
  out.f64(metrics.update_norm).u64(metrics.update_bytes).instant(metrics.started).instant(metrics.committed);
  return out.take();
}

Result<RoundMetrics> decode_round_metrics(ByteSpan bytes) {
  return decode<RoundMetrics>(bytes, "round metrics", [](ByteReader& in) {
    RoundMetrics metrics;
    metrics.round = in.u32();
    metrics.attempt = in.u32();
    metrics.cohort = in.u32();
    metrics.delivered = in.u32();
    metrics.declined = in.u32();
    metrics.examples = in.u64();
    metrics.train = get_train(in);
    metrics.evaluation = get_eval(in);
    metrics.update_norm = in.f64();
    metrics.update_bytes = in.u64();
    metrics.started = in.instant();
    metrics.committed = in.instant();
    return metrics;
  });
}

Bytes encode(const ClientMetrics& metrics) {
  ByteWriter out;
  out.u8(kVersion).u32(metrics.round).text(metrics.client).u64(metrics.examples);
  put(out, metrics.train);
  put(out, metrics.evaluation);
  return out.take();
}

Result<ClientMetrics> decode_client_metrics(ByteSpan bytes) {
  return decode<ClientMetrics>(bytes, "client metrics", [](ByteReader& in) {
    return ClientMetrics{in.u32(), in.text(), in.u64(), get_train(in), get_eval(in)};
  });
}

Bytes encode(const UpdateReady& update) {
  ByteWriter out;
  out.u8(kVersion);
  put(out, update.key);
  out.fixed(update.model).boolean(update.update.has_value());
  put(out, update.update.value_or(BlobRef{}));
  out.u64(update.examples);
  put(out, update.train);
  put(out, update.evaluation);
  return out.take();
}

Result<UpdateReady> decode_update_ready(ByteSpan bytes) {
  return decode<UpdateReady>(bytes, "update record", [](ByteReader& in) {
    UpdateReady update;
    update.key = get_key(in);
    update.model = in.fixed<Digest>();
    const bool present = in.boolean();
    const BlobRef blob = get_blob(in);
    if (present) update.update = blob;
    if (!present && blob != BlobRef{}) in.refuse();
    update.examples = in.u64();
    update.train = get_train(in);
    update.evaluation = get_eval(in);
    return update;
  });
}

Bytes encode(const JournalEntry& entry) {
  ByteWriter out;
  out.u8(kVersion).u64(entry.sequence).instant(entry.time).u64(entry.job).text(entry.text);
  return out.take();
}

Result<JournalEntry> decode_journal_entry(ByteSpan bytes) {
  return decode<JournalEntry>(bytes, "journal entry", [](ByteReader& in) {
    return JournalEntry{in.u64(), in.instant(), in.u64(), in.text()};
  });
}

// What certificate and renewal say is in their own rows.
Bytes encode(const NodeSummary& node) {
  ByteWriter out;
  out.u8(kVersion).fixed(node.key).text(node.name).u8(static_cast<std::uint8_t>(node.role));
  out.boolean(node.revoked).boolean(node.connected);
  put(out, node.capability);
  out.instant(node.enrolled).instant(node.last_seen);
  return out.take();
}

Result<NodeSummary> decode_node_summary(ByteSpan bytes) {
  return decode<NodeSummary>(bytes, "node record", [](ByteReader& in) {
    NodeSummary node;
    node.key = in.fixed<PeerKey>();
    node.name = in.text();
    node.role = get_enum(in, kRoleLast);
    node.revoked = in.boolean();
    node.connected = in.boolean();
    node.capability = get_capability(in);
    node.enrolled = in.instant();
    node.last_seen = in.instant();
    return node;
  });
}

}  // namespace covey
