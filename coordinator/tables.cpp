#include "coordinator/tables.h"

#include "core/base/wire.h"
#include "core/protocol/job_fit.h"
#include "core/protocol/job_spec.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"
#include "core/protocol/records.h"

namespace covey {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::uint8_t kRoundVersion = 2;  // 1 knew no freeze
constexpr std::uint8_t kMaskedVersion = 2; // of an update that is masked vectors
constexpr std::uint8_t kMaskVersion = 2;   // 1 knew no instances

std::string peer_text(const PeerKey& peer) { return hex(peer.span()); }

std::string attempt_path(const RoundKey& key) {
  return hex_number(key.job) + "/" + hex_number(key.round) + "/" + hex_number(key.attempt);
}

void put(ByteWriter& out, const BlobRef& blob) { out.fixed(blob.id).u64(blob.size); }
BlobRef get_blob(ByteReader& in) { return BlobRef{in.fixed<Digest>(), in.u64()}; }

template <class T, class Read>
Result<T> decode(ByteSpan bytes, const char* table, Read read, std::uint8_t reads = kVersion) {
  ByteReader in(bytes);
  const std::uint8_t version = in.u8();
  if (version != reads)
    return unexpected(ErrorCode::kCorrupted, std::string(table) + " has version " + std::to_string(version) +
                                                 ", this program reads " + std::to_string(reads));
  T row;
  COVEY_TRY_VOID(read(in, row));
  COVEY_TRY_VOID(in.finish(table));
  return row;
}

void put(ByteWriter& out, const std::vector<PeerKey>& peers) {
  out.u32(static_cast<std::uint32_t>(peers.size()));
  for (const PeerKey& peer : peers) out.fixed(peer);
}
std::vector<PeerKey> get_peers(ByteReader& in) {
  std::vector<PeerKey> peers(in.count(PeerKey::kSize));
  for (PeerKey& peer : peers) peer = in.fixed<PeerKey>();
  return peers;
}

Unexpected bad(const char* what) { return unexpected(ErrorCode::kCorrupted, what); }

}  // namespace

std::string job_spec_key(JobId job) { return "job/" + hex_number(job) + "/spec"; }
std::string job_state_key(JobId job) { return "job/" + hex_number(job) + "/state"; }
std::string model_key(JobId job, std::uint32_t version) {
  return "model/" + hex_number(job) + "/" + hex_number(version);
}
std::string round_key(const RoundKey& key) { return "round/" + attempt_path(key); }
std::string update_key(const RoundKey& key, const PeerKey& peer) {
  return "update/" + attempt_path(key) + "/" + peer_text(peer);
}
std::string mask_key(const RoundKey& key) { return "mask/" + attempt_path(key); }
std::string outcome_key(const RoundKey& key) { return "outcome/" + attempt_path(key); }
std::string unmask_key(const RoundKey& key, const PeerKey& peer) {
  return "unmask/" + attempt_path(key) + "/" + peer_text(peer);
}
std::string vote_key(const RoundKey& key, const PeerKey& peer) {
  return "vote/" + attempt_path(key) + "/" + peer_text(peer);
}
std::string phase_key(const RoundKey& key) { return "phase/" + attempt_path(key); }
std::string spared_key(JobId job) { return "spared/" + hex_number(job); }
std::string liar_key(JobId job, const PeerKey& peer) { return "liar/" + hex_number(job) + "/" + peer_text(peer); }
std::string rest_key(JobId job, const PeerKey& peer) { return "rest/" + hex_number(job) + "/" + peer_text(peer); }
std::string suspicion_key(JobId job) { return "suspicion/" + hex_number(job); }
std::string round_metrics_key(JobId job, std::uint32_t round) {
  return "metric/" + hex_number(job) + "/" + hex_number(round);
}
std::string client_metrics_key(JobId job, std::uint32_t round, const PeerKey& peer) {
  return round_metrics_key(job, round) + "/" + peer_text(peer);
}
std::string node_key(const PeerKey& peer) { return "node/" + peer_text(peer); }
std::string cert_key(const PeerKey& peer) { return "cert/" + peer_text(peer); }
std::string renewal_key(const PeerKey& peer) { return "renewal/" + peer_text(peer); }
std::string credential_key(const PeerKey& peer) { return "credential/" + peer_text(peer); }
std::string token_key(const TokenId& token) { return "token/" + hex(token.span()); }
std::string journal_key(std::uint64_t sequence) { return "journal/" + hex_number(sequence); }
std::string audit_key(std::uint64_t sequence) { return std::string(kAuditTable) + hex_number(sequence); }
std::string ledger_key(std::uint64_t sequence) { return std::string(kLedgerTable) + hex_number(sequence); }

std::vector<std::string_view> key_parts(std::string_view key) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t slash = key.find('/');
    parts.push_back(key.substr(0, slash));
    if (slash == std::string_view::npos) return parts;
    key.remove_prefix(slash + 1);
  }
}

Result<std::uint64_t> number_in_key(std::string_view part) {
  if (part.size() != 16) return bad("a number in a key has not 16 digits");
  std::uint64_t value = 0;
  for (const char c : part) {
    const bool digit = c >= '0' && c <= '9';
    if (!digit && !(c >= 'a' && c <= 'f')) return bad("a number in a key is not hexadecimal");
    value = value << 4 | static_cast<std::uint64_t>(digit ? c - '0' : c - 'a' + 10);
  }
  return value;
}

Result<std::uint32_t> small_number_in_key(std::string_view part) {
  COVEY_TRY(const std::uint64_t value, number_in_key(part));
  if (value > 0xffffffffU) return bad("a number in a key is above 32 bits");
  return static_cast<std::uint32_t>(value);
}

Bytes encode(const JobSpecRow& row) {
  return ByteWriter().u8(kVersion).u64(row.nonce).fixed(row.submitter).text(row.toml).take();
}

Result<JobSpecRow> decode_job_spec_row(ByteSpan bytes) {
  return decode<JobSpecRow>(bytes, "job specification", [](ByteReader& in, JobSpecRow& row) -> Result<void> {
    row.nonce = in.u64();
    row.submitter = in.fixed<PeerKey>();
    row.toml = in.text();
    return {};
  });
}

Bytes encode(const ModelRow& row) {
  ByteWriter out;
  out.u8(kVersion);
  put(out, row.manifest);
  out.u32(static_cast<std::uint32_t>(row.shards.size()));
  for (const BlobRef& shard : row.shards) put(out, shard);
  out.boolean(row.optimizer_state.has_value());
  if (row.optimizer_state) put(out, *row.optimizer_state);
  return out.take();
}

Result<ModelRow> decode_model_row(ByteSpan bytes) {
  return decode<ModelRow>(bytes, "model", [](ByteReader& in, ModelRow& row) -> Result<void> {
    row.manifest = get_blob(in);
    const std::size_t count = in.count(40);
    for (std::size_t i = 0; i < count; ++i) row.shards.push_back(get_blob(in));
    if (in.boolean()) row.optimizer_state = get_blob(in);
    return {};
  });
}

Bytes encode(const RoundRow& row) {
  ByteWriter out;
  out.u8(kRoundVersion).u8(static_cast<std::uint8_t>(row.kind)).u32(row.target).instant(row.started);
  put(out, row.model);
  put(out, row.cohort);
  out.u64(row.ledger);
  put(out, row.survivors);
  return out.take();
}

Result<RoundRow> decode_round_row(ByteSpan bytes) {
  const auto read = [](ByteReader& in, RoundRow& row) -> Result<void> {
    const std::uint8_t kind = in.u8();
    if (kind != static_cast<std::uint8_t>(RoundKind::kTrain) && kind != static_cast<std::uint8_t>(RoundKind::kEvaluate))
      return bad("round: its kind does not exist");
    row.kind = static_cast<RoundKind>(kind);
    row.target = in.u32();
    row.started = in.instant();
    row.model = get_blob(in);
    row.cohort = get_peers(in);
    row.ledger = in.u64();
    row.survivors = get_peers(in);
    if (row.frozen() == row.survivors.empty()) return bad("round: frozen without survivors, or not frozen with some");
    return {};
  };
  return decode<RoundRow>(bytes, "round", read, kRoundVersion);
}

// Plain updates stay as they always were.
Bytes encode(const UpdateRow& row) {
  ByteWriter out;
  out.u8(row.note.empty() ? kVersion : kMaskedVersion).instant(row.received).f64(row.norm).blob(encode(row.update));
  if (!row.note.empty()) out.blob(row.note);
  return out.take();
}

Result<UpdateRow> decode_update_row(ByteSpan bytes) {
  const bool masked = !bytes.empty() && bytes[0] == kMaskedVersion;
  const auto read = [masked](ByteReader& in, UpdateRow& row) -> Result<void> {
    row.received = in.instant();
    row.norm = in.f64();
    COVEY_TRY(row.update, decode_update_ready(in.blob()));
    if (!masked) return {};
    const ByteSpan note = in.blob();
    row.note.assign(note.begin(), note.end());
    if (row.note.empty() || !row.update.update) return bad("update: masked vectors without their note");
    return {};
  };
  return decode<UpdateRow>(bytes, "update", read, masked ? kMaskedVersion : kVersion);
}

Bytes encode(const TokenRow& row) {
  ByteWriter out;
  out.u8(kVersion).blob(encode(row.delegation)).instant(row.registered).boolean(row.spent_by.has_value());
  if (row.spent_by) out.fixed(*row.spent_by).instant(row.spent);
  return out.take();
}

Result<TokenRow> decode_token_row(ByteSpan bytes) {
  return decode<TokenRow>(bytes, "token", [](ByteReader& in, TokenRow& row) -> Result<void> {
    auto delegation = decode_delegation(in.blob());
    if (!delegation) return unexpected(ErrorCode::kCorrupted, "token: " + delegation.error().message);
    row.delegation = std::move(*delegation);
    row.registered = in.instant();
    if (in.boolean()) {
      row.spent_by = in.fixed<PeerKey>();
      row.spent = in.instant();
    }
    return {};
  });
}

Bytes encode(const MaskRow& row) {
  ByteWriter out;
  out.u8(row.instances.empty() ? kVersion : kMaskVersion);
  put(out, row.peers);
  for (const std::uint64_t instance : row.instances) out.u64(instance);
  return out.blob(row.snapshot).take();
}

// One of version 1 is of an attempt that an older program began: its members' processes are not known.
Result<MaskRow> decode_mask_row(ByteSpan bytes) {
  const bool knows = !bytes.empty() && bytes[0] == kMaskVersion;
  const auto read = [knows](ByteReader& in, MaskRow& row) -> Result<void> {
    row.peers = get_peers(in);
    if (knows && row.peers.empty()) return bad("mask: it names no peer");
    if (knows && !in.failed()) row.instances.resize(row.peers.size());
    for (std::uint64_t& instance : row.instances) instance = in.u64();
    const ByteSpan snapshot = in.blob();
    row.snapshot.assign(snapshot.begin(), snapshot.end());
    return {};
  };
  return decode<MaskRow>(bytes, "mask", read, knows ? kMaskVersion : kVersion);
}

Bytes encode(const PhaseRow& row) {
  ByteWriter out;
  out.u8(kVersion).u8(row.phase).u64(static_cast<std::uint64_t>(row.left.count()));
  put(out, row.lost);
  return out.take();
}

Result<PhaseRow> decode_phase_row(ByteSpan bytes) {
  return decode<PhaseRow>(bytes, "phase", [](ByteReader& in, PhaseRow& row) -> Result<void> {
    row.phase = in.u8();
    const std::uint64_t left = in.u64();
    row.lost = get_peers(in);
    if (left > static_cast<std::uint64_t>(kPhaseLeftMax.count())) return bad("phase: more time is left than any phase has");
    row.left = Duration(static_cast<Duration::rep>(left));
    return {};
  });
}

Bytes encode(const SparedRow& row) { return ByteWriter().u8(kVersion).u32(row.round).u32(row.attempts).take(); }

Result<SparedRow> decode_spared_row(ByteSpan bytes) {
  return decode<SparedRow>(bytes, "spared", [](ByteReader& in, SparedRow& row) -> Result<void> {
    row.round = in.u32();
    row.attempts = in.u32();
    return {};
  });
}

Bytes encode(const RestRow& row) {
  return ByteWriter().u8(kVersion).u8(static_cast<std::uint8_t>(row.kind)).u32(row.round).text(row.text).take();
}

Result<RestRow> decode_rest_row(ByteSpan bytes) {
  return decode<RestRow>(bytes, "rest", [](ByteReader& in, RestRow& row) -> Result<void> {
    const std::uint8_t kind = in.u8();
    if (kind < 1 || kind > 3) return bad("rest: it is of no kind");
    row.kind = static_cast<RestKind>(kind);
    row.round = in.u32();
    row.text = in.text();
    return {};
  });
}

Bytes secagg_value(ByteSpan message) { return ByteWriter().u8(kVersion).blob(message).take(); }

Result<Bytes> secagg_of_value(ByteSpan bytes) {
  return decode<Bytes>(bytes, "secure aggregation", [](ByteReader& in, Bytes& row) -> Result<void> {
    const ByteSpan message = in.blob();
    row.assign(message.begin(), message.end());
    return {};
  });
}

Bytes liar_value(const std::string& what) { return ByteWriter().u8(kVersion).text(what).take(); }

Result<std::string> liar_of_value(ByteSpan bytes) {
  return decode<std::string>(bytes, "liar", [](ByteReader& in, std::string& what) -> Result<void> {
    what = in.text();
    return {};
  });
}

Bytes certificate_value(const Certificate& certificate) {
  return ByteWriter().u8(kVersion).blob(encode(certificate)).take();
}

Result<Certificate> certificate_of_value(ByteSpan bytes) {
  return decode<Certificate>(bytes, "certificate", [](ByteReader& in, Certificate& row) -> Result<void> {
    auto certificate = decode_certificate(in.blob());
    if (!certificate) return unexpected(ErrorCode::kCorrupted, "certificate: " + certificate.error().message);
    row = std::move(*certificate);
    return {};
  });
}

Bytes renewal_value(const Renewal& renewal) { return ByteWriter().u8(kVersion).blob(encode(renewal)).take(); }

Result<Renewal> renewal_of_value(ByteSpan bytes) {
  return decode<Renewal>(bytes, "renewal", [](ByteReader& in, Renewal& row) -> Result<void> {
    auto renewal = decode_renewal(in.blob());
    if (!renewal) return unexpected(ErrorCode::kCorrupted, "renewal: " + renewal.error().message);
    row = std::move(*renewal);
    return {};
  });
}

Bytes credential_value(const MemberCredential& credential) {
  return ByteWriter().u8(kVersion).blob(encode(credential)).take();
}

Bytes withdrawals_value(const Withdrawals& list) { return ByteWriter().u8(kVersion).blob(encode(list)).take(); }

Result<Withdrawals> withdrawals_of_value(ByteSpan bytes) {
  return decode<Withdrawals>(bytes, "withdrawals", [](ByteReader& in, Withdrawals& row) -> Result<void> {
    const ByteSpan encoded = in.blob();
    if (in.failed()) return {};
    COVEY_TRY(row, decode_withdrawals(encoded));
    return {};
  });
}

Result<MemberCredential> credential_of_value(ByteSpan bytes) {
  return decode<MemberCredential>(bytes, "credential", [](ByteReader& in, MemberCredential& row) -> Result<void> {
    const ByteSpan encoded = in.blob();
    if (in.failed()) return {};  // finish() says it
    COVEY_TRY(row, decode_credential(encoded));
    return {};
  });
}

Bytes epoch_value(std::uint64_t epoch) { return ByteWriter().u8(kVersion).u64(epoch).take(); }

Result<std::uint64_t> epoch_of_value(ByteSpan bytes) {
  return decode<std::uint64_t>(bytes, "epoch", [](ByteReader& in, std::uint64_t& epoch) -> Result<void> {
    epoch = in.u64();
    if (epoch == 0 || epoch > kEpochMax) return bad("epoch: out of range");
    return {};
  });
}

namespace {

Result<void> add_blobs_of(const Row& row, std::set<Digest>& blobs) {
  if (row.key.starts_with("model/")) {
    COVEY_TRY(const ModelRow model, decode_model_row(row.value));
    blobs.insert(model.manifest.id);
    for (const BlobRef& shard : model.shards) blobs.insert(shard.id);
    if (model.optimizer_state) blobs.insert(model.optimizer_state->id);
  } else if (row.key.starts_with("update/")) {
    COVEY_TRY(const UpdateRow update, decode_update_row(row.value));
    if (update.update.update) blobs.insert(update.update.update->id);
  } else if (row.key.starts_with("job/") && row.key.ends_with("/spec")) {
    COVEY_TRY(const JobSpecRow job, decode_job_spec_row(row.value));
    COVEY_TRY(const JobSpec spec, parse_accepted_job(job.toml));
    blobs.insert(blob_ref_of(bytes_of(public_toml(spec))).id);
  }
  return {};
}

}  // namespace

Result<std::set<Digest>> blobs_in_rows(const std::vector<Row>& rows) {
  std::set<Digest> blobs;
  for (const Row& row : rows) {
    const auto added = add_blobs_of(row, blobs);
    if (!added) return unexpected(in_context("row " + row.key, added.error()));
  }
  return blobs;
}

}  // namespace covey
