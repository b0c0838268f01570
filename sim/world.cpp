#include "sim/world.h"

#include <algorithm>
#include <utility>

#include "core/base/wire.h"
#include "net/codec.h"

namespace covey {
namespace {

constexpr std::size_t kCoordinator = 0;

}  // namespace

struct World::Item {
  Instant at;
  std::uint64_t sequence;
  std::function<void()> action;
};

struct World::Later {
  bool operator()(const Item& a, const Item& b) const { return std::tie(a.at, a.sequence) > std::tie(b.at, b.sequence); }
};

struct World::RunningWork {
  std::unique_ptr<StagedBlobs> blobs;
  std::future<Result<WorkValue>> result;
  bool cancelled = false;
};

struct World::Node {
  Node(std::size_t node_index, NodeParts node_parts, BlobPool& pool)
      : index(node_index), parts(std::move(node_parts)), blobs(pool) {}

  std::size_t index;
  NodeParts parts;
  SimStore store;   // the disk: survives a crash
  SimBlobs blobs;
  // Gone with the process:
  std::unique_ptr<Machine> machine;
  std::unique_ptr<BlobTransfer> transfer;
  std::uint64_t start = 0;                          // how often it has started; the session number
  std::map<std::string, std::uint64_t> timers;      // name -> sequence of its latest setting
  std::map<Ticket, RunningWork> running;
  std::optional<Instant> transfer_armed;
  Instant link_free;                                // when its link has sent what it was given
  Instant disk_free;                                // when its disk has synced what it was given
  std::uint64_t writes = 0;                         // asked for, over all starts
  bool halted = false;

  bool up() const { return machine != nullptr; }
};

World::World(WorldConfig config, std::vector<NodeParts> nodes, Checker* checker, Log* log)
    : config_(std::move(config)),
      checker_(checker),
      log_(log),
      network_random_(Random(config_.seed).split("network")),
      crash_random_(Random(config_.seed).split("crash")),
      queue_(std::make_unique<std::priority_queue<Item, std::vector<Item>, Later>>()),
      start_(instant_of_nanos(1'700'000'000'000'000'000)),
      now_(start_),
      workers_(config_.threads) {
  for (NodeParts& parts : nodes) {
    by_key_[parts.key] = nodes_.size();
    nodes_.push_back(std::make_unique<Node>(nodes_.size(), std::move(parts), pool_));
  }
  for (const auto& node : nodes_) at(start_, [this, &n = *node] { boot(n); });
  for (const Crash& planned : config_.faults.crashes) {
    COVEY_CHECK(planned.node < nodes_.size());
    Node& node = *nodes_[planned.node];
    at(start_ + planned.at, [this, &node] { crash(node); });
    at(start_ + planned.at + planned.down, [this, &node] { boot(node); });
  }
}

World::~World() { workers_.wait_idle(); }

BlobStore& World::blobs(std::size_t node) { return nodes_[node]->blobs; }
std::vector<Row> World::rows(std::size_t node) { return nodes_[node]->store.rows(); }
Digest World::trace_hash() { return hash_.finish(); }

void World::at(Instant when, std::function<void()> action) {
  queue_->push({std::max(when, now_), sequence_++, std::move(action)});
}

void World::trace(std::string_view what, std::size_t node, ByteSpan detail) {
  ByteWriter out;
  out.instant(now_).text(what).u64(node).blob(detail);
  hash_.update(out.bytes());
}

void World::fail(Error error) {
  if (!failure_) failure_ = std::move(error);
}

Result<Ending> World::run(std::size_t until_halted, const std::function<bool()>& interrupted) {
  while (!queue_->empty()) {
    Item item = std::move(const_cast<Item&>(queue_->top()));  // popped at once: the order is not looked at again
    queue_->pop();
    if (item.at - start_ > config_.horizon) return Ending::kHorizon;
    now_ = item.at;
    ++events_;
    item.action();
    if (failure_) return unexpected(*failure_);
    if (nodes_[until_halted]->halted) return Ending::kHalted;
    if (interrupted && interrupted()) return Ending::kInterrupted;
  }
  return Ending::kIdle;
}

void World::check_rows(Node& node) {
  if (checker_ == nullptr || node.index != kCoordinator) return;
  const auto finding = checker_->on_rows([&node](const std::string& key) { return node.store.get(key); });
  if (finding) fail({ErrorCode::kInternal, *finding});
}

void World::boot(Node& node) {
  if (node.up() || node.halted) return;
  ++node.start;
  check_rows(node);
  auto machine = node.parts.boot(node.store.rows(), node.start);
  if (!machine) return fail(in_context("node " + std::to_string(node.index) + " does not start", machine.error()));
  node.machine = std::move(*machine);
  node.transfer = std::make_unique<BlobTransfer>(node.blobs, BlobTransferConfig{});
  if (node.index == kCoordinator) admitted_.clear();
  trace("start", node.index, {});
  dispatch(node, Started{});
}

// Whatever the process held in memory is gone; the disk keeps what was synced, and perhaps more.
void World::crash(Node& node) {
  if (!node.up()) return;
  trace("crash", node.index, {});
  node.store.crash(crash_random_);
  for (auto& [ticket, work] : node.running)
    if (work.result.valid()) work.result.wait();
  node.running.clear();
  node.machine.reset();
  node.transfer.reset();
  node.timers.clear();
  node.transfer_armed.reset();
  node.disk_free = now_;
  ++node.start;  // what was sent to or set by the old process finds nobody
}

void World::dispatch(Node& node, const Event& event) {
  if (!node.up() || failure_) return;
  for (Command& command : node.machine->handle(event, now_)) {
    execute(node, std::move(command));
    if (!node.up() || failure_) return;
  }
}

void World::execute(Node& node, Command command) {
  std::visit([&](auto&& c) { on(node, std::forward<decltype(c)>(c)); }, std::move(command));
}

World::Node* World::node_of(const PeerKey& key) {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : nodes_[it->second].get();
}

// ---- network

void World::on(Node& node, Send command) {
  Node* to = node_of(command.to.peer);
  if (to == nullptr) return;
  const bool from_coordinator = node.index == kCoordinator;
  if (checker_ != nullptr) {
    const auto durable = [&node](const std::string& key) { return node.store.has(key); };
    const auto finding = from_coordinator ? checker_->on_coordinator_message(to->parts.key, command.message, durable)
                                          : checker_->on_client_message(node.parts.key, command.message);
    if (finding) return fail({ErrorCode::kInternal, *finding});
  }
  // A link of an earlier process leads nowhere, as a closed connection does.
  if (from_coordinator && command.to.session != to->start) return;
  transmit(node, *to, command.message);
}

bool World::cut(std::size_t a, std::size_t b) const {
  const Duration since = now_ - start_;
  return std::any_of(config_.faults.partitions.begin(), config_.faults.partitions.end(), [&](const Partition& partition) {
    if (since < partition.from || since >= partition.to) return false;
    const auto inside = [&](std::size_t node) {
      return std::find(partition.cut.begin(), partition.cut.end(), node) != partition.cut.end();
    };
    return inside(a) != inside(b);
  });
}

void World::transmit(Node& from, Node& to, const Message& message) {
  const NetworkModel& network = config_.faults.network;
  Bytes frame = encode_frame(message);
  ++frames_;
  bytes_ += frame.size();
  trace("send", from.index * 1'000'000'000ULL + to.index, frame);
  if (cut(from.index, to.index)) return;
  const bool quiet = now_ - start_ >= config_.faults.quiet_after;
  const double lost = network_random_.uniform();
  const double doubled = network_random_.uniform();
  if (!quiet && lost < network.loss) return;
  // The narrower side of the path is the client's: its link sends one frame after the other.
  Node& narrow = from.index == kCoordinator ? to : from;
  narrow.link_free = std::max(narrow.link_free, now_) + from_seconds(static_cast<double>(frame.size()) / network.bytes_per_second);
  const int copies = !quiet && doubled < network.duplicate ? 2 : 1;
  for (int copy = 0; copy < copies; ++copy) {
    const Duration delay = network.delay + from_seconds(network_random_.uniform() * seconds(network.jitter));
    const std::uint64_t session = from.index == kCoordinator ? to.start : from.start;
    at(narrow.link_free + delay, [this, a = from.index, b = to.index, session, frame] { deliver(a, b, session, frame); });
  }
}

void World::deliver(std::size_t from_index, std::size_t to_index, std::uint64_t session, const Bytes& frame) {
  Node& from = *nodes_[from_index];
  Node& to = *nodes_[to_index];
  if (!to.up()) return;
  if (to_index != kCoordinator && session != to.start) return;
  if (to_index == kCoordinator && from.parts.member && !admitted_.contains(from.parts.key)) return;
  const auto message = decode_frame(frame);
  if (!message) return fail(in_context("a frame of our own does not decode", message.error()));
  if (is_bulk(*message)) return after_transfer(to, to.transfer->receive(from.parts.key, *message, now_));
  // A client knows its coordinator as session 1, whatever happens behind it.
  dispatch(to, Received{{from.parts.key, to_index == kCoordinator ? session : 1}, *message});
}

void World::on(Node& node, const AdmitPeer& command) {
  COVEY_CHECK(node.index == kCoordinator);
  admitted_.insert(command.peer);
}

void World::on(Node& node, const ExpelPeer& command) {
  COVEY_CHECK(node.index == kCoordinator);
  admitted_.erase(command.peer);
}

// ---- blobs

void World::after_transfer(Node& node, const BlobTransfer::Step& step) {
  for (const BlobTransfer::Outgoing& outgoing : step.outgoing)
    if (Node* to = node_of(outgoing.to)) transmit(node, *to, outgoing.message);
  for (const Event& event : step.events) {
    // Through the queue, so that no machine is entered while it is handling an event.
    at(now_, [this, &node, start = node.start, event] {
      if (node.start == start) dispatch(node, event);
    });
  }
  arm_transfer(node);
}

void World::arm_transfer(Node& node) {
  if (!node.up()) return;
  const auto next = node.transfer->next_tick();
  if (!next || (node.transfer_armed && *node.transfer_armed <= *next)) return;
  node.transfer_armed = *next;
  at(*next, [this, &node, start = node.start] {
    if (node.start != start || !node.up()) return;
    node.transfer_armed.reset();
    after_transfer(node, node.transfer->tick(now_));
  });
}

void World::on(Node& node, const FetchBlob& command) { after_transfer(node, node.transfer->fetch(command, now_)); }
void World::on(Node& node, const CancelFetch& command) { node.transfer->cancel(command.ticket); }
void World::on(Node& node, const PublishBlob& command) { node.transfer->publish(command); }
void World::on(Node& node, const WithdrawBlob& command) { node.transfer->withdraw(command.blob); }

void World::on(Node& node, const EraseBlob& command) {
  node.transfer->withdraw(command.blob);
  node.blobs.drop_partial(command.blob);
  COVEY_CHECK(node.blobs.erase(command.blob).has_value());
}

// ---- time, disk, work

void World::on(Node& node, SetTimer command) {
  const std::uint64_t setting = sequence_;
  node.timers[command.name] = setting;
  at(now_ + command.after, [this, &node, setting, start = node.start, name = std::move(command.name)] {
    const auto it = node.timers.find(name);
    if (node.start != start || it == node.timers.end() || it->second != setting) return;
    node.timers.erase(it);
    dispatch(node, TimerFired{name});
  });
}

void World::on(Node& node, const CancelTimer& command) { node.timers.erase(command.name); }

void World::on(Node& node, Persist command) {
  for (const Put& put : command.batch.puts) trace(put.key, node.index, put.value);
  for (const Delete& gone : command.batch.deletes) trace(gone.key, node.index, {});
  node.store.begin(std::move(command.batch));
  node.disk_free = std::max(node.disk_free, now_) + config_.sync;
  at(node.disk_free, [this, &node, start = node.start, ticket = command.ticket] {
    if (node.start != start || !node.up()) return;
    node.store.finish_oldest();
    check_rows(node);
    dispatch(node, Persisted{ticket});
  });
  ++node.writes;
  for (const WriteCrash& planned : config_.faults.write_crashes)
    if (planned.node == node.index && planned.nth == node.writes) crash_in_write(node, planned.down);
}

// Once the commands that came with the write have left, and before the write is confirmed.
void World::crash_in_write(Node& node, Duration down) {
  at(now_, [this, &node, start = node.start] {
    if (node.start == start) crash(node);
  });
  at(now_ + down, [this, &node] { boot(node); });
}

void World::on(Node& node, StartWork command) {
  if (const auto* aggregate = std::get_if<Aggregate>(&command.work); aggregate != nullptr && checker_ != nullptr)
    if (const auto finding = checker_->on_aggregate(*aggregate, [&node](const std::string& key) { return node.store.get(key); }))
      return fail({ErrorCode::kInternal, *finding});
  const Duration duration = node.parts.duration(command.work);
  RunningWork& running = node.running[command.ticket];
  running.blobs = std::make_unique<StagedBlobs>(node.blobs);
  auto task = std::make_shared<std::packaged_task<Result<WorkValue>()>>(  // shared: std::function wants a copyable task
      [&compute = node.parts.work, work = std::move(command.work), blobs = running.blobs.get()] { return compute(work, *blobs); });
  running.result = task->get_future();
  workers_.submit([task] { (*task)(); });
  at(now_ + duration, [this, &node, start = node.start, ticket = command.ticket] {
    if (node.start == start) finish_work(node, ticket);
  });
}

void World::finish_work(Node& node, Ticket ticket) {
  const auto it = node.running.find(ticket);
  if (it == node.running.end()) return;
  RunningWork work = std::move(it->second);
  node.running.erase(it);
  auto result = work.result.get();
  if (work.cancelled) return;
  work.blobs->release();
  if (result) {
    if (auto* trained = std::get_if<Trained>(&*result); trained != nullptr && trained->update)
      trace("trained", node.index, trained->update->id.span());
    dispatch(node, WorkDone{ticket, std::move(*result)});
  } else {
    dispatch(node, WorkFailed{ticket, result.error()});
  }
}

void World::on(Node& node, const CancelWork& command) {
  if (const auto it = node.running.find(command.ticket); it != node.running.end()) it->second.cancelled = true;
}

void World::on(Node& node, const WriteLog& command) {
  if (log_ == nullptr) return;
  LogEntry entry = command.entry;
  entry.fields.insert(entry.fields.begin(), {{"t", seconds(now_ - start_)}, {"node", node.index}});
  log_->write(entry);
}

void World::on(Node& node, const Halt& command) {
  trace("halt", node.index, bytes_of(command.text));
  node.halted = true;
  node.machine.reset();
  node.transfer.reset();
}

}  // namespace covey
