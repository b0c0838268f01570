// Keys and values of the coordinator's durable tables; docs/durable_state.md has every byte.
// Values that other rooms also encode are in core/protocol/records.h.
#pragma once
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/batch.h"
#include "core/protocol/certificate.h"
#include "core/protocol/message.h"

namespace covey {

// ---- keys
std::string job_spec_key(JobId job);                      // job/<job>/spec
std::string job_state_key(JobId job);                     // job/<job>/state
std::string model_key(JobId job, std::uint32_t version);  // model/<job>/<version>
std::string round_key(const RoundKey& key);               // round/<job>/<round>/<attempt>
std::string update_key(const RoundKey& key, const PeerKey& peer);  // update/<job>/<round>/<attempt>/<peer>
std::string mask_key(const RoundKey& key);                // mask/<job>/<round>/<attempt>: MaskRow
std::string outcome_key(const RoundKey& key);             // outcome/<job>/<round>/<attempt>: a certificate
std::string unmask_key(const RoundKey& key, const PeerKey& peer);  // unmask/.../<peer>: what it revealed
std::string vote_key(const RoundKey& key, const PeerKey& peer);    // vote/.../<peer>: before there is a certificate
std::string phase_key(const RoundKey& key);               // phase/<job>/<round>/<attempt>: PhaseRow
std::string spared_key(JobId job);                        // spared/<job>: SparedRow
std::string liar_key(JobId job, const PeerKey& peer);    // liar/<job>/<peer>: what it was caught at
std::string rest_key(JobId job, const PeerKey& peer);     // rest/<job>/<peer>: RestRow
std::string suspicion_key(JobId job);                     // suspicion/<job>: coordinator/suspicion.h
std::string round_metrics_key(JobId job, std::uint32_t round);     // metric/<job>/<round>
std::string client_metrics_key(JobId job, std::uint32_t round, const PeerKey& peer);  // .../<peer>
std::string node_key(const PeerKey& peer);                // node/<peer>: NodeSummary
std::string cert_key(const PeerKey& peer);                // cert/<peer>: Certificate
std::string renewal_key(const PeerKey& peer);             // renewal/<peer>: the newest Renewal
std::string credential_key(const PeerKey& peer);          // credential/<peer>: its MemberCredential
std::string token_key(const TokenId& token);              // token/<id>
std::string journal_key(std::uint64_t sequence);          // journal/<sequence>
inline constexpr std::string_view kAuditTable = "audit/";
inline constexpr std::string_view kLedgerTable = "ledger/";
inline constexpr std::string_view kEpochRow = "epoch";
inline constexpr std::string_view kWithdrawalsRow = "withdrawals";
std::string audit_key(std::uint64_t sequence);            // audit/<sequence>: ChainRecord of an AuditEntry
std::string ledger_key(std::uint64_t sequence);           // ledger/<sequence>: ChainRecord of a ReleaseRecord

// A key cut at its slashes. Numbers and keys in it are read with the functions below.
std::vector<std::string_view> key_parts(std::string_view key);
Result<std::uint64_t> number_in_key(std::string_view part);
Result<std::uint32_t> small_number_in_key(std::string_view part);

// ---- values
struct JobSpecRow {              // written once, at submission
  std::uint64_t nonce = 0;
  PeerKey submitter;
  std::string toml;              // as submitted; parse_job accepts it
  bool operator==(const JobSpecRow&) const = default;
};
struct ModelRow {                // one version that is kept
  BlobRef manifest;
  std::vector<BlobRef> shards;   // in the manifest's order
  std::optional<BlobRef> optimizer_state;
  bool operator==(const ModelRow&) const = default;
};
struct RoundRow {                // a round in progress; gone when it is committed or abandoned
  RoundKind kind = RoundKind::kTrain;
  std::uint32_t target = 0;      // updates after which it closes
  Instant started;
  BlobRef model;                 // manifest offered
  std::vector<PeerKey> cohort;   // ascending
  std::uint64_t ledger = 0;      // sequence of its record in the release ledger; 0: not frozen yet
  std::vector<PeerKey> survivors;  // once frozen: whose updates make the release, ascending
  bool frozen() const { return ledger != 0; }
  bool operator==(const RoundRow&) const = default;
};
struct UpdateRow {               // an accepted update of a round in progress
  Instant received;
  double norm = 0;
  UpdateReady update;            // of masked vectors: their blob, and the seconds alone
  Bytes note{};                  // of masked vectors: the signed Masked message
  bool operator==(const UpdateRow&) const = default;
};
struct MaskRow {                 // an attempt whose mask order may be out, until its round is committed
  std::vector<PeerKey> peers;    // by place in the roster
  Bytes snapshot;                // SecAggServer::snapshot()
  std::vector<std::uint64_t> instances{};  // by place: the process that holds its keys; 0: not known. Empty: version 1
  bool operator==(const MaskRow&) const = default;
};
inline constexpr Duration kPhaseLeftMax = std::chrono::hours(24 * 31);  // above any deadline of a round
struct PhaseRow {                // how far such an attempt is, beside its other rows
  std::uint8_t phase = 0;        // SecAggServer::Phase that `left` is of
  Duration left{};               // of its time, which passes only while a coordinator runs
  std::vector<PeerKey> lost;     // members whose keys are gone, ascending
  bool operator==(const PhaseRow&) const = default;
};
struct SparedRow {               // attempts of a round in progress that a restart of the coordinator ended
  std::uint32_t round = 0;
  std::uint32_t attempts = 0;    // they do not count against round.attempts_max
  bool operator==(const SparedRow&) const = default;
};
enum class RestKind : std::uint8_t {
  kCaught = 1,                   // until a round of the job comes to something
  kHeldUp = 2,                   // for one deadline of a round; begun anew after a restart, and forgotten at the next
  kSuspected = 3,                // the round after `round`, and no other
};
struct RestRow {                 // a member that is not asked for now
  RestKind kind = RestKind::kCaught;
  std::uint32_t round = 0;
  std::string text;              // why
  bool operator==(const RestRow&) const = default;
};
struct TokenRow {
  Delegation delegation;
  Instant registered;
  std::optional<PeerKey> spent_by;
  Instant spent;                 // epoch: not yet
  bool operator==(const TokenRow&) const = default;
};

Bytes encode(const JobSpecRow& row);
Bytes encode(const ModelRow& row);
Bytes encode(const RoundRow& row);
Bytes encode(const UpdateRow& row);
Bytes encode(const TokenRow& row);
Bytes encode(const MaskRow& row);
Bytes liar_value(const std::string& what);
Bytes encode(const PhaseRow& row);
Bytes encode(const SparedRow& row);
Bytes encode(const RestRow& row);
Bytes secagg_value(ByteSpan message);  // of outcome/, unmask/ and vote/: one message of privacy/secagg_messages.h
Bytes certificate_value(const Certificate& certificate);
Bytes renewal_value(const Renewal& renewal);
Bytes credential_value(const MemberCredential& credential);
Bytes withdrawals_value(const Withdrawals& list);
Bytes epoch_value(std::uint64_t epoch);
// Errors: kCorrupted naming the table.
Result<std::uint64_t> epoch_of_value(ByteSpan bytes);  // from 1 to kEpochMax
Result<JobSpecRow> decode_job_spec_row(ByteSpan bytes);
Result<ModelRow> decode_model_row(ByteSpan bytes);
Result<RoundRow> decode_round_row(ByteSpan bytes);
Result<UpdateRow> decode_update_row(ByteSpan bytes);
Result<TokenRow> decode_token_row(ByteSpan bytes);
Result<MaskRow> decode_mask_row(ByteSpan bytes);
Result<PhaseRow> decode_phase_row(ByteSpan bytes);
Result<SparedRow> decode_spared_row(ByteSpan bytes);
Result<RestRow> decode_rest_row(ByteSpan bytes);
Result<Bytes> secagg_of_value(ByteSpan bytes);
Result<std::string> liar_of_value(ByteSpan bytes);
Result<Certificate> certificate_of_value(ByteSpan bytes);
Result<Renewal> renewal_of_value(ByteSpan bytes);
Result<MemberCredential> credential_of_value(ByteSpan bytes);
Result<Withdrawals> withdrawals_of_value(ByteSpan bytes);

// Every blob that the rows refer to. A driver may erase all others before the machine starts: they
// were left by a crash between a file and its row. Errors: kCorrupted naming the row.
Result<std::set<Digest>> blobs_in_rows(const std::vector<Row>& rows);

}  // namespace covey
