// Every message of the protocol as a plain value. net/schema has their form on the wire; the codec
// bounds and checks each field before a value exists. Strings are at most kErrorTextBytesMax unless
// said. All client messages are idempotent on (job, round, attempt, client).
#pragma once
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/base/blob_store.h"
#include "core/base/result.h"
#include "core/base/time.h"
#include "core/protocol/certificate.h"
#include "core/protocol/chain.h"
#include "core/protocol/key_change.h"
#include "core/protocol/withdrawals.h"

namespace covey {

using JobId = std::uint64_t;  // from 1, in order of submission

struct RoundKey {
  JobId job = 0;
  std::uint32_t round = 0;    // from 1
  std::uint32_t attempt = 0;  // from 1
  auto operator<=>(const RoundKey&) const = default;
};
std::string to_text(const RoundKey& key);  // "job 1 round 3 attempt 1"

// ---- enrolment (over the token's one-time CURVE key)
struct Enrol {
  Certificate certificate;
  bool operator==(const Enrol&) const = default;
};
struct EnrolAccepted {
  bool operator==(const EnrolAccepted&) const = default;
};
struct EnrolRefused {
  Error error;
  bool operator==(const EnrolRefused&) const = default;
};

// ---- presence
struct Capability {           // measured by the client at start
  std::string device;         // "cpu", or the GPU's name; at most kNameBytesMax
  std::uint32_t cores = 0;
  std::uint64_t memory_bytes = 0;
  double gflops = 0;          // f32 matrix product, all cores
  bool operator==(const Capability&) const = default;
};
struct Join {
  std::uint32_t protocol_version = 0;      // the newest that it speaks
  std::uint64_t instance = 0;  // random per start of the process
  Capability capability;
  std::uint32_t protocol_version_min = 0;  // the oldest; 0: protocol_version alone
  bool operator==(const Join&) const = default;
};
struct JoinAccepted {
  std::string name;            // the node's name in its certificate
  std::uint64_t epoch = 0;     // rises with every start of the coordinator, at most kEpochMax
  std::uint32_t protocol_version = 0;  // the one that both speak from now on; 0 means 1
  Duration reconnect_window{}; // after losing the coordinator: come back at a random moment of it
  bool operator==(const JoinAccepted&) const = default;
};
struct MembershipRenewed {     // coordinator -> client: after each join, and when it is registered
  Renewal renewal;
  bool operator==(const MembershipRenewed&) const = default;
};
struct KeyChanged {            // coordinator -> node, while both keys are served: after each join, at times, before a reply
  KeyChange change;
  bool operator==(const KeyChanged&) const = default;
};
struct CredentialsWithdrawn {  // coordinator -> client: before each CredentialIssued, and when it is registered
  Withdrawals list;            // number at least 1
  bool operator==(const CredentialsWithdrawn&) const = default;
};
struct CredentialIssued {      // coordinator -> client: after each join, when it is issued, and before each offer of a
                               // round that aggregates securely
  MemberCredential credential;
  bool operator==(const CredentialIssued&) const = default;
};
struct JoinRefused {
  Error error;
  Duration retry_after{};      // zero: do not try again
  Instant ended{};             // refused because by the coordinator's clock its membership ended then; 0: for another reason
  bool operator==(const JoinRefused&) const = default;
};
struct Heartbeat {             // client -> coordinator, every kHeartbeatInterval, and as answer to Ping
  std::uint64_t instance = 0;
  bool operator==(const Heartbeat&) const = default;
};
struct HeartbeatAck {
  bool operator==(const HeartbeatAck&) const = default;
};
struct Ping {                  // coordinator -> client: prove that you are alive
  bool operator==(const Ping&) const = default;
};
struct RejoinRequired {        // coordinator -> client it does not know (it restarted)
  bool operator==(const RejoinRequired&) const = default;
};
struct Leave {                 // client -> coordinator: a clean stop
  bool operator==(const Leave&) const = default;
};

// ---- a round
enum class RoundKind : std::uint8_t { kTrain = 1, kEvaluate = 2 };

struct RoundOffer {
  RoundKey key;
  RoundKind kind = RoundKind::kTrain;
  BlobRef config;              // public_toml of the job
  BlobRef model;               // manifest
  Duration deadline{};         // from receipt
  double progress_begin = 0;   // of the whole job, for schedules
  double progress_end = 0;
  bool operator==(const RoundOffer&) const = default;
};
struct RoundAccept {
  RoundKey key;
  bool operator==(const RoundAccept&) const = default;
};
enum class DeclineReason : std::uint8_t { kBusy = 1, kPolicy, kSchedule, kMemory, kData, kInternal };
const char* name_of(DeclineReason reason);
struct RoundDecline {
  RoundKey key;
  DeclineReason reason = DeclineReason::kInternal;
  std::string text;
  bool operator==(const RoundDecline&) const = default;
};

struct EvalStats {             // of the offered model on the client's held-out data
  double loss_sum = 0;         // nats
  std::uint64_t targets = 0;   // examples or tokens
  std::uint64_t correct = 0;
  bool operator==(const EvalStats&) const = default;
  EvalStats& operator+=(const EvalStats& other) {
    loss_sum += other.loss_sum;
    targets += other.targets;
    correct += other.correct;
    return *this;
  }
};
struct TrainStats {
  double loss_sum = 0;         // nats, over the targets trained on
  std::uint64_t targets = 0;
  std::uint32_t steps = 0;
  double seconds = 0;
  bool operator==(const TrainStats&) const = default;
};
struct UpdateReady {           // the update itself is fetched by the coordinator, by hash
  RoundKey key;
  Digest model;                // hash of the manifest it started from
  std::optional<BlobRef> update;  // flat f32 (global - local); absent in an evaluation round
  std::uint64_t examples = 0;  // training examples held: the weight
  TrainStats train;
  EvalStats evaluation;
  bool operator==(const UpdateReady&) const = default;
};
// ---- secure aggregation (docs/secure_aggregation.md): one message of privacy/secagg_messages.h each
struct SecAggNote {            // either direction
  RoundKey key;
  Bytes content;               // 1 to kSecAggNoteBytesMax
  bool operator==(const SecAggNote&) const = default;
};
struct SecAggLetter {          // either direction: a longer one, published to the receiver, who fetches it
  RoundKey key;
  BlobRef content;             // at most kSecAggLetterBytesMax
  bool operator==(const SecAggLetter&) const = default;
};
struct MaskedReady {           // in place of UpdateReady; answered by UpdateAccepted or UpdateRefused
  RoundKey key;
  Digest model;                // hash of the manifest it started from
  BlobRef vectors;             // all masked vectors: words of 8 bytes, little-endian, no header
  Bytes note;                  // the signed Masked message, at most kMaskedNoteBytesMax
  double seconds = 0;          // that training took
  bool operator==(const MaskedReady&) const = default;
};
struct RoundFailed {           // client -> coordinator: accepted, but could not
  RoundKey key;
  Error error;
  bool operator==(const RoundFailed&) const = default;
};
struct UpdateAccepted {        // durable: the client may forget it
  RoundKey key;
  bool operator==(const UpdateAccepted&) const = default;
};
struct UpdateRefused {         // final for this attempt: too late, wrong model, not finite ...
  RoundKey key;
  Error error;
  bool operator==(const UpdateRefused&) const = default;
};
struct RoundClosed {           // coordinator -> cohort: committed or abandoned, stop working on it
  RoundKey key;
  bool committed = false;
  std::string text;
  bool operator==(const RoundClosed&) const = default;
};

// ---- bulk transfer, symmetric: the receiver asks, with credits; the sender answers
struct ChunkListWant {
  BlobRef blob;
  std::uint32_t page = 0;      // of kChunkHashesPerPage
  bool operator==(const ChunkListWant&) const = default;
};
struct ChunkList {
  Digest blob;
  std::uint32_t page = 0;
  std::vector<Digest> hashes;
  bool operator==(const ChunkList&) const = default;
};
struct ChunkWant {
  Digest blob;
  std::vector<std::uint32_t> indices;  // at most kChunkCreditsMax
  bool operator==(const ChunkWant&) const = default;
};
struct Chunk {
  Digest blob;
  std::uint32_t index = 0;
  Bytes bytes;                 // kChunkBytes, or less for the last
  bool operator==(const Chunk&) const = default;
};
struct BlobRefused {           // not here, or not for you
  Digest blob;
  Error error;
  bool operator==(const BlobRefused&) const = default;
};
struct BulkHello {             // client -> coordinator on the bulk port, at connect and every heartbeat
  bool operator==(const BulkHello&) const = default;
};

// ---- operator
enum class JobState : std::uint8_t { kPending = 1, kRunning, kFinished, kFailed, kStopped };
const char* name_of(JobState state);  // "pending", "running", ...

struct JobSummary {
  JobId job = 0;
  std::string name;
  JobState state = JobState::kPending;
  std::uint32_t round = 0;     // committed rounds
  std::uint32_t rounds = 0;
  std::uint32_t attempt = 0;   // of the round in progress
  std::uint32_t cohort = 0;    // of the round in progress
  std::uint32_t delivered = 0; // accepted updates of the round in progress
  Instant submitted;
  Instant ended{};             // epoch: not yet
  std::string text;            // why it failed or waits
  BlobRef model;               // latest manifest
  // Of the round in progress under secure aggregation; not kept in the job's row.
  std::string phase{};         // "", "joining", "sharing", "confirming", "masking", "agreeing", "unmasking", "aborting"
  std::uint32_t members = 0;   // of the roster; 0: not fixed yet
  std::uint32_t maskers = 0;
  std::uint32_t survivors = 0;
  bool secure = false;         // the job aggregates securely
  bool operator==(const JobSummary&) const = default;
};
struct RoundMetrics {          // one committed round; `evaluation` is of the model it started from
  std::uint32_t round = 0;     // rounds + 1: the final evaluation
  std::uint32_t attempt = 0;
  std::uint32_t cohort = 0;
  std::uint32_t delivered = 0;
  std::uint32_t declined = 0;
  std::uint64_t examples = 0;
  TrainStats train;            // seconds: the longest client's
  EvalStats evaluation;
  double update_norm = 0;      // L2 of the mean update
  std::uint64_t update_bytes = 0;  // received
  Instant started;
  Instant committed;
  bool operator==(const RoundMetrics&) const = default;
};
struct ClientMetrics {         // one client's part in one committed round
  std::uint32_t round = 0;
  std::string client;
  std::uint64_t examples = 0;
  TrainStats train;
  EvalStats evaluation;
  bool operator==(const ClientMetrics&) const = default;
};
struct NodeSummary {
  PeerKey key;
  std::string name;
  Role role = Role::kClient;
  bool revoked = false;
  bool connected = false;
  Capability capability;
  Instant enrolled;
  Instant last_seen;
  VerifyKey signing{};         // these three from its certificate and newest renewal
  Instant members_until{};
  std::uint64_t renewal = 0;   // serial, 0: never renewed
  std::uint32_t credential_epoch = 0;  // of its live credential for secure aggregation, 0: none
  bool operator==(const NodeSummary&) const = default;
};
struct JournalEntry {          // what `covey log` shows: administrative acts and a job's milestones
  std::uint64_t sequence = 0;
  Instant time;
  JobId job = 0;               // 0: not of one job
  std::string text;
  bool operator==(const JournalEntry&) const = default;
};

struct SubmitJob {
  std::uint64_t nonce = 0;     // the same nonce submits once
  BlobRef job;                 // to_toml, fetched from the operator over bulk
  bool operator==(const SubmitJob&) const = default;
};
struct ListJobs {
  JobId after = 0;
  bool operator==(const ListJobs&) const = default;
};
struct ShowJob {               // a summary and the metrics of rounds after `after_round`
  JobId job = 0;
  std::uint32_t after_round = 0;
  bool operator==(const ShowJob&) const = default;
};
struct ShowClients {           // per-client metrics of one round
  JobId job = 0;
  std::uint32_t round = 0;
  std::uint32_t after = 0;     // rows to skip
  bool operator==(const ShowClients&) const = default;
};
struct ShowConfig {            // the job's public configuration
  JobId job = 0;
  bool operator==(const ShowConfig&) const = default;
};
struct StopJob {
  JobId job = 0;
  bool operator==(const StopJob&) const = default;
};
struct ListNodes {
  std::uint32_t after = 0;     // rows to skip
  bool operator==(const ListNodes&) const = default;
};
struct RegisterToken {
  Delegation delegation;
  bool operator==(const RegisterToken&) const = default;
};
struct RevokeNode {
  std::string node;            // name, or at least 6 hex digits of its key
  bool operator==(const RevokeNode&) const = default;
};
struct ReadJournal {
  JobId job = 0;               // 0: all
  std::uint64_t after = 0;     // sequence
  bool operator==(const ReadJournal&) const = default;
};
struct ListAudit {             // records of the audit chain after this sequence, as many as fit
  std::uint64_t after = 0;
  bool operator==(const ListAudit&) const = default;
};
struct ListLedger {            // the same of the release ledger
  std::uint64_t after = 0;
  bool operator==(const ListLedger&) const = default;
};
struct RegisterRenewal {
  Renewal renewal;
  bool operator==(const RegisterRenewal&) const = default;
};
struct PrepareKey {            // make the key that shall follow, and serve it on these ports
  std::uint16_t control_port = 0;
  std::uint16_t bulk_port = 0;
  bool operator==(const PrepareKey&) const = default;
};
struct RegisterKeyChange {
  KeyChange change;
  bool operator==(const RegisterKeyChange&) const = default;
};
struct ListUnvouched {         // certificates of the clients that have no live credential, by key, after this one
  PeerKey after;
  bool operator==(const ListUnvouched&) const = default;
};
struct NodeCredential {
  PeerKey node;
  MemberCredential credential;
  bool operator==(const NodeCredential&) const = default;
};
struct IssueCredentials {      // all of them or, after an error, none
  std::vector<NodeCredential> credentials;  // 1 to kVouchPageRowsMax
  bool operator==(const IssueCredentials&) const = default;
};
struct ShowWithdrawals {       // the list that counts
  bool operator==(const ShowWithdrawals&) const = default;
};
struct RegisterWithdrawals {
  Withdrawals list;
  bool operator==(const RegisterWithdrawals&) const = default;
};
using OperatorVerb =
    std::variant<SubmitJob, ListJobs, ShowJob, ShowClients, ShowConfig, StopJob, ListNodes, RegisterToken,
                 RevokeNode, ReadJournal, ListAudit, ListLedger, RegisterRenewal, ListUnvouched, IssueCredentials,
                 PrepareKey, RegisterKeyChange, ShowWithdrawals, RegisterWithdrawals>;
struct OperatorRequest {
  std::uint64_t id = 0;        // echoed in the reply
  OperatorVerb verb;
  bool operator==(const OperatorRequest&) const = default;
};

struct Done {                  // the verb had nothing more to say than `text`
  std::string text;
  bool operator==(const Done&) const = default;
};
struct Submitted {
  JobId job = 0;
  bool operator==(const Submitted&) const = default;
};
struct JobRows {
  std::vector<JobSummary> rows;  // at most kPageRowsMax; fewer: the end
  bool operator==(const JobRows&) const = default;
};
struct JobDetail {
  JobSummary summary;
  BlobRef config;
  std::vector<RoundMetrics> metrics;
  bool operator==(const JobDetail&) const = default;
};
struct ClientRows {
  std::vector<ClientMetrics> rows;
  bool operator==(const ClientRows&) const = default;
};
struct NodeRows {
  std::vector<NodeSummary> rows;
  bool operator==(const NodeRows&) const = default;
};
struct JournalRows {
  std::vector<JournalEntry> rows;
  bool operator==(const JournalRows&) const = default;
};
struct ChainRows {             // as they lie on the disk; none: the end
  std::vector<ChainRecord> rows;  // at most kChainPageRowsMax, encoded at most kChainPageBytesMax
  bool operator==(const ChainRows&) const = default;
};
struct KeyPrepared {           // what the authority is to sign
  PeerKey before;
  PeerKey after;
  std::uint64_t serial = 0;    // of the latest change, 0: none yet
  bool operator==(const KeyPrepared&) const = default;
};
struct CertificateRows {       // whole, so that whoever signs for them can verify each chain
  std::vector<Certificate> rows;  // at most kVouchPageRowsMax; fewer: the end
  bool operator==(const CertificateRows&) const = default;
};
struct WithdrawalsRow {
  Withdrawals list;            // number 0: none yet
  bool operator==(const WithdrawalsRow&) const = default;
};
using OperatorAnswer = std::variant<Done, Error, Submitted, JobRows, JobDetail, ClientRows, NodeRows,
                                    JournalRows, ChainRows, CertificateRows, KeyPrepared, WithdrawalsRow>;
struct OperatorReply {
  std::uint64_t id = 0;
  OperatorAnswer answer;
  bool operator==(const OperatorReply&) const = default;
};

using Message =
    std::variant<Enrol, EnrolAccepted, EnrolRefused, Join, JoinAccepted, JoinRefused, Heartbeat,
                 HeartbeatAck, Ping, RejoinRequired, Leave, RoundOffer, RoundAccept, RoundDecline,
                 UpdateReady, RoundFailed, UpdateAccepted, UpdateRefused, RoundClosed, ChunkListWant,
                 ChunkList, ChunkWant, Chunk, BlobRefused, BulkHello, OperatorRequest, OperatorReply,
                 MembershipRenewed, SecAggNote, SecAggLetter, MaskedReady, CredentialIssued, KeyChanged,
                 CredentialsWithdrawn>;
const char* name_of(const Message& message);  // "RoundOffer"
bool is_bulk(const Message& message);         // travels on the bulk port

}  // namespace covey
