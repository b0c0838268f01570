// The simulated driver: one coordinator, one operator and any number of clients, the same machines as
// in production, in virtual time from one seed. Frames are encoded and decoded as on a real network.
#pragma once
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "core/base/worker_pool.h"
#include "core/crypto/digest.h"
#include "core/protocol/machine.h"
#include "net/blob_transfer.h"
#include "sim/checker.h"
#include "sim/fault_plan.h"
#include "sim/sim_blobs.h"
#include "sim/sim_store.h"

namespace covey {

// What a simulated process is made of. Everything outlives the world.
struct NodeParts {
  PeerKey key;
  bool member = true;  // admitted by the coordinator's AdmitPeer; false for the coordinator itself
  // Makes the machine anew at every start, from what its disk holds. `start` counts from 1.
  std::function<Result<std::unique_ptr<Machine>>(const std::vector<Row>& rows, std::uint64_t start)> boot;
  // Computes on any thread; must depend on nothing but its arguments and `blobs`.
  std::function<Result<WorkValue>(const Work& work, BlobStore& blobs)> work;
  // How long the work takes in virtual time.
  std::function<Duration(const Work& work)> duration;
};

struct WorldConfig {
  std::uint64_t seed = 1;
  FaultPlan faults;
  Duration sync = std::chrono::milliseconds(2);  // of one durable write
  Duration horizon = std::chrono::hours(24 * 365);
  std::size_t threads = 1;                       // for work; never changes a result
};

enum class Ending { kHalted, kIdle, kHorizon, kInterrupted };

class World {
 public:
  // Node 0 is the coordinator; the operator is the last one. `checker` and `log` may be null.
  World(WorldConfig config, std::vector<NodeParts> nodes, Checker* checker, Log* log);
  ~World();

  // Runs until node `until_halted` halts, nothing is left to happen, or the horizon.
  // Errors: a machine that does not boot; a checker's finding.
  Result<Ending> run(std::size_t until_halted, const std::function<bool()>& interrupted);

  Duration elapsed() const { return now_ - start_; }  // virtual
  std::uint64_t events() const { return events_; }
  std::uint64_t frames() const { return frames_; }
  std::uint64_t bytes() const { return bytes_; }
  BlobStore& blobs(std::size_t node);
  std::vector<Row> rows(std::size_t node);
  // SHA-256 over everything that happened; once, after run().
  Digest trace_hash();

 private:
  struct Node;
  struct Item;
  struct Later;
  struct RunningWork;

  void at(Instant when, std::function<void()> action);
  void boot(Node& node);
  void crash(Node& node);
  void crash_in_write(Node& node, Duration down);
  void dispatch(Node& node, const Event& event);
  void execute(Node& node, Command command);

  void on(Node& node, Send command);
  void on(Node& node, SetTimer command);
  void on(Node& node, const CancelTimer& command);
  void on(Node& node, Persist command);
  void on(Node& node, const FetchBlob& command);
  void on(Node& node, const CancelFetch& command);
  void on(Node& node, const PublishBlob& command);
  void on(Node& node, const WithdrawBlob& command);
  void on(Node& node, const EraseBlob& command);
  void on(Node& node, StartWork command);
  void on(Node& node, const CancelWork& command);
  void on(Node& node, const AdmitPeer& command);
  void on(Node& node, const ExpelPeer& command);
  void on(Node& node, const WriteLog& command);
  void on(Node& node, const Halt& command);

  void transmit(Node& from, Node& to, const Message& message);
  void deliver(std::size_t from, std::size_t to, std::uint64_t session, const Bytes& frame);
  void after_transfer(Node& node, const BlobTransfer::Step& step);
  void arm_transfer(Node& node);
  void finish_work(Node& node, Ticket ticket);
  bool cut(std::size_t a, std::size_t b) const;
  Node* node_of(const PeerKey& key);
  void trace(std::string_view what, std::size_t node, ByteSpan detail);
  void check_rows(Node& node);
  void fail(Error error);

  WorldConfig config_;
  Checker* checker_;
  Log* log_;
  Random network_random_;
  Random crash_random_;
  BlobPool pool_;
  std::vector<std::unique_ptr<Node>> nodes_;
  std::map<PeerKey, std::size_t> by_key_;
  std::set<PeerKey> admitted_;  // by the coordinator, since its last start
  std::unique_ptr<std::priority_queue<Item, std::vector<Item>, Later>> queue_;
  Instant start_;
  Instant now_;
  std::uint64_t sequence_ = 0;
  std::uint64_t events_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t bytes_ = 0;
  Sha256 hash_;
  std::optional<Error> failure_;
  WorkerPool workers_;  // last: its threads end before what they use
};

}  // namespace covey
