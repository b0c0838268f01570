// What goes into a state machine (Event) and what comes out (Command). Machines are pure: no clock,
// socket, thread, file or global; a driver (net::Reactor, sim::World, a test) executes the commands
// in order and returns events. A message that needs durability is sent only by the handler of
// Persisted.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "core/base/batch.h"
#include "core/base/blob_store.h"
#include "core/base/log.h"
#include "core/base/time.h"
#include "core/protocol/job_spec.h"
#include "core/protocol/limits.h"
#include "core/protocol/message.h"

namespace covey {

struct MaskPlan;  // privacy/secagg_client.h
struct SumRecovery;  // privacy/secagg_server.h

// A peer as it is connected now: the CURVE key that the transport has proved, and a number that
// differs between connections (0 never occurs). A client's link to its coordinator is {key, 1}.
struct Link {
  PeerKey peer;
  std::uint64_t session = 0;
  auto operator<=>(const Link&) const = default;
};

using Ticket = std::uint64_t;  // pairs a command with its events; unique within one machine

// ---- work: what an Executor computes off the machine's thread
struct InitModel {             // coordinator: the initial model, and public_toml(job) as a blob
  JobSpec job;
};
struct ModelReady {
  BlobRef model;
};
struct SumInto {               // which attempt's sum, and the update's weight in it
  RoundKey key;
  std::uint64_t weight = 0;
};
struct CheckUpdate {           // coordinator: is this blob an update of the right size, within the limits?
  BlobRef update;
  std::uint64_t parameters = 0;
  UpdateSpec limits;
  std::optional<SumInto> sum;  // durability = "attempt": add it to its attempt's sum in the same pass
  JobId job = 0;               // whose it is: jobs take turns at the workers
};
struct UpdateChecked {
  double norm = 0;             // L2
};
struct Contribution {
  BlobRef update;
  std::uint64_t weight = 0;    // > 0; see weight_of in aggregation/fixed_sum.h
  bool operator==(const Contribution&) const = default;
};
struct Aggregate {             // coordinator: mean of the updates, one server step, next model
  RoundKey key;                // whose updates these are
  JobSpec job;
  BlobRef model;
  std::optional<BlobRef> optimizer_state;
  std::uint32_t next_version = 0;
  std::vector<Contribution> contributions;
};
struct Aggregated {
  BlobRef model;
  std::optional<BlobRef> optimizer_state;
  double update_norm = 0;      // L2 of the mean update
};
struct CheckMasked {           // coordinator: is this blob the masked vectors of such a round, and what is its hash?
  BlobRef vectors;
  JobSpec job;
  RoundKind kind = RoundKind::kTrain;
  std::uint32_t members_max = 0;          // of the attempt: fixes the encoding
  Digest sid;
};
struct MaskedChecked {
  Digest masked;               // MaskedHash of them
};
struct Unmask {                // coordinator: opens the survivors' sum; of a training round, one server step on their mean
  RoundKey key;
  JobSpec job;
  RoundKind kind = RoundKind::kTrain;
  BlobRef model;
  std::optional<BlobRef> optimizer_state;
  std::uint32_t next_version = 0;
  std::uint32_t members_max = 0;
  std::vector<BlobRef> vectors;              // one a survivor
  std::shared_ptr<const SumRecovery> recovery;  // shared: work is copied, the shares in it are not
};
struct Unmasked {
  std::optional<Aggregated> aggregated;      // of a training round
  std::uint64_t examples = 0;                // sums over the survivors
  TrainStats train;                          // without steps and seconds
  EvalStats evaluation;
  std::uint64_t clamped = 0;                 // elements beyond privacy.value_range
  std::vector<std::pair<std::uint32_t, std::string>> liars;  // by place in the roster: who lied, proven
  std::vector<std::pair<std::uint32_t, std::uint32_t>> disputed;  // likewise: a dealer and a holder of its share, one of whom lied
  std::vector<std::uint32_t> suspects;       // likewise: whose secret does not open, if it was not a holder that lied
  std::vector<std::uint32_t> unopened;       // likewise: dropped members; what their neighbours masked with them would open it
  std::string closed;                        // why the sum stays closed; "": it is open, and the rest of this counts
};
struct DropSum {               // coordinator: the attempt is over; nothing is added to its sum any more
  RoundKey key;
};
struct SumDropped {};
struct ReadChain {             // coordinator: a page of a chain's durable records
  std::string table;           // "audit/" or "ledger/"
  std::uint64_t after = 0;     // sequence
};
// coordinator: the files of its CURVE keys (coordinator/service/key_folder.h)
enum class KeyStep : std::uint8_t {
  kMake,                       // the next key, unless it is there already
  kKeep,                       // `change`, so that a restart serves both keys
  kRetire,                     // erase the key before `change`
};
struct RotateKey {
  KeyStep step = KeyStep::kMake;
  KeyChange change;            // not of kMake
};
struct KeyRotated {
  PeerKey key;                 // of kMake: the next one
};
struct PrepareData {           // client: load and check the local data for this job
  JobSpec job;
};
struct DataPrepared {
  std::uint64_t train_examples = 0;
  std::uint64_t holdout_examples = 0;
};
struct Train {                 // client: evaluate the offered model, then train and make the update
  JobSpec job;
  RoundOffer offer;            // every blob of the model is local
  Bytes cursor = {};           // of streamed data: where this round's begins; empty: at the beginning
};
struct Trained {
  std::optional<BlobRef> update;  // absent in an evaluation round
  std::uint64_t examples = 0;
  TrainStats train;
  EvalStats evaluation;
  Bytes cursor = {};           // of streamed data: where the next round's begins; empty: nothing was streamed
};
struct MaskUpdate {            // client: encodes what training made, masks it, makes it a blob
  JobSpec job;
  RoundOffer offer;
  Trained trained;             // its update's blob is read, and left where it is
  std::uint32_t members_max = 0;          // of the attempt: fixes the encoding
  std::shared_ptr<const MaskPlan> plan;   // shared: work is copied, its secrets are not
};
struct UpdateMasked {
  BlobRef vectors;             // all vectors' words in order, little-endian
  Digest masked;               // MaskedHash of them
};
struct PutBlob {               // either: a value that the machine itself made, too long for a message
  Bytes content;
};
struct BlobPut {
  BlobRef blob;
};
using Work = std::variant<InitModel, CheckUpdate, Aggregate, DropSum, ReadChain, RotateKey, PrepareData, Train, MaskUpdate, PutBlob, CheckMasked,
                         Unmask>;
using WorkValue = std::variant<ModelReady, UpdateChecked, Aggregated, SumDropped, ChainRows, KeyRotated, DataPrepared, Trained,
                               UpdateMasked, BlobPut, MaskedChecked, Unmasked>;

// ---- commands
struct Send {
  Link to;
  Message message;
};
struct SetTimer {              // replaces a timer of the same name
  std::string name;
  Duration after{};
};
struct CancelTimer {
  std::string name;
};
struct Persist {               // answered by Persisted, or the process ends: a machine never runs on unsaved state
  Ticket ticket = 0;
  Batch batch;
};
enum class Keep : std::uint8_t {
  kDurably,                    // whole and durable before BlobFetched
  kUnfinished,                 // every chunk verified and written; read_written reads it, a crash may lose it
};
struct FetchBlob {             // answered by BlobFetched or BlobFailed; at once if it is here already
  Ticket ticket = 0;
  PeerKey from;
  BlobRef blob;
  Keep keep = Keep::kDurably;
  std::uint64_t content_bytes_max = kSmallBlobBytes;  // a value up to this comes along with BlobFetched
};
enum class Unfinished : std::uint8_t {  // what has come of a fetch that is cancelled
  kDrop,
  kKeep,                       // until the blob is fetched again, or erased
};
struct CancelFetch {
  Ticket ticket = 0;
  Unfinished unfinished = Unfinished::kDrop;
};
struct PublishBlob {           // peers may fetch it; `to` absent: any joined peer
  Digest blob;
  std::optional<PeerKey> to;
};
struct WithdrawBlob {
  Digest blob;
};
struct EraseBlob {             // also what has come of an unfinished one
  Digest blob;
};
struct StartWork {             // answered by WorkDone or WorkFailed
  Ticket ticket = 0;
  Work work;
};
struct CancelWork {            // best effort; its WorkDone may still come and is then ignored
  Ticket ticket = 0;
};
enum class Admission : std::uint8_t { kEnrolment, kMember };
struct AdmitPeer {
  PeerKey peer;
  Admission admission = Admission::kMember;
};
enum class Expulsion : std::uint8_t { kUnknown, kEnded };  // what the door says to it: no more than a stranger hears, or
                                                           // that by our clock its membership is over
struct ExpelPeer {             // no new handshake, and the live connection is not listened to
  PeerKey peer;
  Expulsion why = Expulsion::kUnknown;
};
struct ServeKey {              // coordinator: listen with this key too; WorkDone{KeyRotated} or WorkFailed
  Ticket ticket = 0;
  KeyPlace place;
};
struct DropKey {               // coordinator: no longer; ends the connections made with it
  PeerKey key;
};
struct FollowKey {             // client: move to the new key at a moment of the reconnect window, old link first
  KeyChange change;
};
struct WriteLog {
  LogEntry entry;
};
struct Halt {                  // end the process: refused for good, or asked to
  int exit_code = 0;
  std::string text;
};
using Command = std::variant<Send, SetTimer, CancelTimer, Persist, FetchBlob, CancelFetch, PublishBlob,
                             WithdrawBlob, EraseBlob, StartWork, CancelWork, AdmitPeer, ExpelPeer,
                             ServeKey, DropKey, FollowKey, WriteLog, Halt>;
using Commands = std::vector<Command>;

// ---- events
struct Started {};             // first event of every machine
struct Received {
  Link from;
  Message message;             // never a bulk message: the driver's BlobTransfer takes those
};
struct TimerFired {
  std::string name;
};
struct Persisted {
  Ticket ticket = 0;
};
struct BlobFetched {
  Ticket ticket = 0;
  BlobRef blob;
  Bytes content;               // the whole value when at most FetchBlob's content_bytes_max, else empty
};
struct BlobFailed {
  Ticket ticket = 0;
  Error error;
};
struct WorkDone {
  Ticket ticket = 0;
  WorkValue value;
};
struct WorkFailed {
  Ticket ticket = 0;
  Error error;
};
struct ShutdownRequested {};   // SIGTERM, Ctrl-C: say goodbye, then Halt
using Event = std::variant<Started, Received, TimerFired, Persisted, BlobFetched, BlobFailed, WorkDone,
                           WorkFailed, ShutdownRequested>;

// A machine as its drivers see it.
class Machine {
 public:
  virtual ~Machine() = default;
  virtual Commands handle(const Event& event, Instant now) = 0;
};

// Does what neither the machine nor the network can: durable writes and computation. `main` wires
// in one that owns the Store, the blobs and a WorkerPool. `done` may be called on any thread.
class Executor {
 public:
  using Completion = std::function<void(Event)>;
  virtual ~Executor() = default;
  // Writes of one machine are applied in the order given.
  virtual void persist(Persist command, Completion done) = 0;
  virtual void start(StartWork command, Completion done) = 0;
  virtual void cancel(Ticket ticket) = 0;
};

}  // namespace covey
