// The simulated driver: one coordinator, one operator and any number of clients, the same machines as
// in production, in virtual time from one seed. Frames are encoded and decoded as on a real network.
#pragma once
#include <deque>
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
  std::string name;    // as in its certificate
  bool member = true;  // admitted by the coordinator's AdmitPeer; false for the coordinator itself
  // Makes the machine anew at every start, from what its disk holds. `start` counts from 1.
  std::function<Result<std::unique_ptr<Machine>>(const std::vector<Row>& rows, const std::vector<BlobRef>& partials, std::uint64_t start)> boot;
  // Computes on any thread; must depend on nothing but its arguments and `blobs`.
  std::function<Result<WorkValue>(const Work& work, BlobStore& blobs)> work;
  // How long the work takes in virtual time.
  std::function<Duration(const Work& work)> duration;
  // The blobs that the rows name: all others are erased at a start. Absent: none is erased.
  std::function<Result<std::set<Digest>>(const std::vector<Row>& rows)> keep;
  // A client whose updates are lies: none may be acknowledged or summed.
  bool liar = false;
  // Changes what its transfer sends; false: says nothing instead. Absent: an honest transfer.
  std::function<bool(Message& bulk)> tamper;
};

struct WorldConfig {
  std::uint64_t seed = 1;
  FaultPlan faults;
  Duration sync = std::chrono::milliseconds(2);  // of one durable write
  Duration horizon = std::chrono::hours(24 * 365);
  std::size_t threads = 1;                       // for work; never changes a result
  std::size_t story_lines = 0;                   // of story(); 0: none is kept
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
  std::vector<BlobRef> partials(std::size_t node);
  std::vector<Row> rows(std::size_t node);
  // SHA-256 over everything that happened; once, after run().
  Digest trace_hash();
  // SHA-256 over which message went from whom to whom and when, without what it said; once, after run().
  Digest timeline_hash() { return timeline_.finish(); }
  // The last things that happened, oldest first, a line each.
  const std::deque<std::string>& story() const { return story_; }

 private:
  struct Node;
  struct Item;
  struct Later;
  struct RunningWork;

  void at(Instant when, std::function<void()> action);
  void plan_faults();
  void boot(Node& node);
  void crash(Node& node);
  void crash_in_write(Node& node, Duration down);
  void write_done(Node& node, Ticket ticket);
  void end_for_space(Node& node);
  bool disk_full(const Node& node, bool rows) const;
  void dispatch(Node& node, const Event& event);
  void execute(Node& node, Command command);
  void check_bounds(Node& node);

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
  void on(Node&, const ServeKey&) {}   // there are no sockets whose key could change
  void on(Node&, const DropKey&) {}
  void on(Node&, const FollowKey&) {}
  void on(Node& node, const WriteLog& command);
  void on(Node& node, const Halt& command);

  // world_network.cpp: frames, blobs
  std::optional<std::string> check_sent(Node& from, const Node& to, const Message& message);
  void transmit(Node& from, Node& to, const Message& message);
  Duration held_back(const Node& from, const Node& to);
  void deliver(std::size_t from, std::size_t to, std::uint64_t session, const Bytes& frame);
  void after_transfer(Node& node, BlobTransfer::Step step);
  void arm_transfer(Node& node);
  bool cut(std::size_t a, std::size_t b) const;
  double bytes_per_second(const Node& node) const;

  Duration since_start() const { return now_ - start_; }
  Instant clock_of(const Node& node) const;   // what the process believes the time to be
  void finish_work(Node& node, Ticket ticket);
  Node* node_of(const PeerKey& key);
  void trace(std::string_view what, std::size_t node, ByteSpan detail);
  template <class Text>
  void tell(Text text) {  // a line of the story, made only when someone listens
    if (config_.story_lines == 0) return;
    story_.push_back("t=" + std::to_string(seconds(since_start())) + " " + text());
    if (story_.size() > config_.story_lines) story_.pop_front();
  }
  std::string name_of_node(std::size_t node) const;
  void check_rows(Node& node);
  bool check_begun(Node& node, const Work& work);   // false: a promise is broken
  bool check_done(Node& node, const Work& work, const WorkValue& value, BlobStore& blobs);
  void fail(Error error);

  WorldConfig config_;
  Checker* checker_;
  Log* log_;
  Random network_random_;
  Random late_random_;
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
  Sha256 timeline_;
  std::deque<std::string> story_;
  std::optional<Error> failure_;
  std::unique_ptr<WorkerPool> workers_;  // last: its threads end before what they use; none for one thread
};

}  // namespace covey
