#include "sim/world.h"

#include <algorithm>
#include <utility>

#include "core/base/wire.h"
#include "sim/world_node.h"

namespace covey {
namespace {

// What ends a process before its machine hears of it, as core/service/disk_guard.h does in production.
bool lacks_space(const Event& event) {
  const auto* work = std::get_if<WorkFailed>(&event);
  const auto* blob = std::get_if<BlobFailed>(&event);
  return (work != nullptr && work->error.code == ErrorCode::kDiskFull) || (blob != nullptr && blob->error.code == ErrorCode::kDiskFull);
}

constexpr Duration kRestartAfter = std::chrono::seconds(2);  // a supervisor, of a process that found no space

}  // namespace

struct World::Item {
  Instant at;
  std::uint64_t sequence;
  std::function<void()> action;
};

struct World::Later {
  bool operator()(const Item& a, const Item& b) const { return std::tie(a.at, a.sequence) > std::tie(b.at, b.sequence); }
};

World::World(WorldConfig config, std::vector<NodeParts> nodes, Checker* checker, Log* log)
    : config_(std::move(config)),
      checker_(checker),
      log_(log),
      network_random_(Random(config_.seed).split("network")),
      late_random_(Random(config_.seed).split("late")),
      crash_random_(Random(config_.seed).split("crash")),
      queue_(std::make_unique<std::priority_queue<Item, std::vector<Item>, Later>>()),
      start_(instant_of_nanos(1'700'000'000'000'000'000)),
      now_(start_),
      workers_(config_.threads > 1 ? std::make_unique<WorkerPool>(config_.threads) : nullptr) {
  for (NodeParts& parts : nodes) {
    by_key_[parts.key] = nodes_.size();
    nodes_.push_back(std::make_unique<Node>(nodes_.size(), std::move(parts), pool_));
  }
  for (const auto& node : nodes_) at(start_, [this, &n = *node] { boot(n); });
  for (const auto& node : nodes_)
    if (checker_ != nullptr && node->parts.liar) checker_->on_liar(node->parts.key);
  plan_faults();
}

World::~World() {
  if (workers_) workers_->wait_idle();
}

void World::plan_faults() {
  for (const Crash& planned : config_.faults.crashes) {
    COVEY_CHECK(planned.node < nodes_.size());
    Node& node = *nodes_[planned.node];
    at(start_ + planned.at, [this, &node] { crash(node); });
    at(start_ + planned.at + planned.down, [this, &node] { boot(node); });
  }
  for (const ClockJump& planned : config_.faults.clock_jumps) {
    COVEY_CHECK(planned.node < nodes_.size());
    at(start_ + planned.at, [this, &node = *nodes_[planned.node], by = planned.by] {
      node.wall += by;
      tell([&] { return "the clock of " + name_of_node(node.index) + " jumps by " + std::to_string(seconds(by)) + " s"; });
    });
  }
  for (const DiskFull& planned : config_.faults.full_disks) {
    COVEY_CHECK(planned.node < nodes_.size());
    const auto look = [this, &node = *nodes_[planned.node]] { node.blobs.set_full(disk_full(node, false)); };
    at(start_ + planned.from, look);
    at(start_ + planned.to, look);
  }
}

BlobStore& World::blobs(std::size_t node) { return nodes_[node]->blobs; }
std::vector<BlobRef> World::partials(std::size_t node) { return nodes_[node]->blobs.list_partial(); }
std::vector<Row> World::rows(std::size_t node) { return nodes_[node]->store.rows(); }
Digest World::trace_hash() { return hash_.finish(); }
Instant World::clock_of(const Node& node) const { return now_ + node.clock; }

std::string World::name_of_node(std::size_t node) const { return nodes_[node]->parts.name; }

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

// ---- processes

void World::boot(Node& node) {
  if (node.up() || node.halted) return;
  ++node.start;
  node.clock = node.wall;
  check_rows(node);
  const std::vector<Row> rows = node.store.rows();
  if (node.parts.keep) {
    const auto keep = node.parts.keep(rows);
    if (!keep) return fail(in_context(name_of_node(node.index) + " does not start", keep.error()));
    const std::vector<Digest> blobs = node.blobs.list().value();
    for (const Digest& blob : blobs)
      if (!keep->contains(blob)) COVEY_CHECK(node.blobs.erase(blob).has_value());
  }
  auto machine = node.parts.boot(rows, node.blobs.list_partial(), node.start);
  if (!machine) return fail(in_context("node " + std::to_string(node.index) + " does not start", machine.error()));
  node.machine = std::move(*machine);
  node.transfer = std::make_unique<BlobTransfer>(node.blobs, BlobTransferConfig{});
  if (node.index == kCoordinator) admitted_.clear();
  trace("start", node.index, {});
  tell([&] { return name_of_node(node.index) + " starts"; });
  dispatch(node, Started{});
}

// Whatever the process held in memory is gone; the disk keeps what was synced, and perhaps more.
void World::crash(Node& node) {
  if (!node.up()) return;
  trace("crash", node.index, {});
  tell([&] { return name_of_node(node.index) + " dies"; });
  node.store.crash(crash_random_);
  for (auto& [ticket, work] : node.running) {
    if (work.result.valid()) work.result.wait();
    work.blobs->crash(crash_random_);
  }
  node.blobs.crash(crash_random_);
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
  if (lacks_space(event)) return end_for_space(node);
  for (Command& command : node.machine->handle(event, clock_of(node))) {
    execute(node, std::move(command));
    if (!node.up() || failure_) return;
  }
  check_bounds(node);
}

// Whatever peers send, what a process has under way stays within bounds of the number of nodes.
void World::check_bounds(Node& node) {
  const std::size_t writes_max = 128 + 8 * nodes_.size();
  const std::size_t timers_max = 32 + 4 * nodes_.size();
  const std::size_t work_max = 32 + 4 * nodes_.size();
  if (node.store.pending() <= writes_max && node.timers.size() <= timers_max && node.running.size() <= work_max) return;
  fail({ErrorCode::kInternal, name_of_node(node.index) + " has " + std::to_string(node.store.pending()) + " writes, " +
                                  std::to_string(node.timers.size()) + " timers and " + std::to_string(node.running.size()) +
                                  " computations under way: its memory grows with what it is sent"});
}

void World::execute(Node& node, Command command) {
  std::visit([&](auto&& c) { on(node, std::forward<decltype(c)>(c)); }, std::move(command));
}

World::Node* World::node_of(const PeerKey& key) {
  const auto it = by_key_.find(key);
  return it == by_key_.end() ? nullptr : nodes_[it->second].get();
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

// Of rows, or of blobs.
bool World::disk_full(const Node& node, bool rows) const {
  return std::any_of(config_.faults.full_disks.begin(), config_.faults.full_disks.end(), [&](const DiskFull& full) {
    return full.node == node.index && (full.rows || !rows) && since_start() >= full.from && since_start() < full.to;
  });
}

void World::on(Node& node, Persist command) {
  for (const Put& put : command.batch.puts) trace(put.key, node.index, put.value);
  for (const Delete& gone : command.batch.deletes) trace(gone.key, node.index, {});
  tell([&] {
    std::string text = name_of_node(node.index) + " writes";
    for (const Put& put : command.batch.puts) text += " " + put.key;
    for (const Delete& gone : command.batch.deletes) text += " -" + gone.key;
    return text;
  });
  node.store.begin(std::move(command.batch));
  node.disk_free = std::max(node.disk_free, now_) + config_.sync;
  at(node.disk_free, [this, &node, start = node.start, ticket = command.ticket] {
    if (node.start == start && node.up()) write_done(node, ticket);
  });
  ++node.writes;
  for (const WriteCrash& planned : config_.faults.write_crashes)
    if (planned.node == node.index && planned.nth == node.writes) crash_in_write(node, planned.down);
}

// A machine never runs on unsaved state: where there is no space the process ends, and is started
// again until there is.
void World::write_done(Node& node, Ticket ticket) {
  if (!disk_full(node, true)) {
    node.store.finish_oldest();
    check_rows(node);
    return dispatch(node, Persisted{ticket});
  }
  node.store.refuse_all();
  end_for_space(node);
}

void World::end_for_space(Node& node) {
  tell([&] { return name_of_node(node.index) + " has no space left"; });
  crash(node);
  at(now_ + kRestartAfter, [this, &node] { boot(node); });
}

// Once the commands that came with the write have left, and before the write is confirmed.
void World::crash_in_write(Node& node, Duration down) {
  at(now_, [this, &node, start = node.start] {
    if (node.start == start) crash(node);
  });
  at(now_ + down, [this, &node] { boot(node); });
}

bool World::check_begun(Node& node, const Work& work) {
  if (checker_ == nullptr) return true;
  const auto read = [&node](const std::string& key) { return node.store.get(key); };
  Checker::Finding finding;
  if (const auto* aggregate = std::get_if<Aggregate>(&work)) finding = checker_->on_aggregate(*aggregate, read);
  if (const auto* unmask = std::get_if<Unmask>(&work)) finding = checker_->on_unmask(*unmask, read);
  if (const auto* mask = std::get_if<MaskUpdate>(&work)) finding = checker_->secure().on_mask(node.parts.key, *mask, node.blobs);
  if (finding) fail({ErrorCode::kInternal, *finding});
  return !finding;
}

bool World::check_done(Node& node, const Work& work, const WorkValue& value, BlobStore& blobs) {
  if (checker_ == nullptr) return true;
  Checker::Finding finding;
  if (const auto* unmask = std::get_if<Unmask>(&work)) finding = checker_->secure().on_unmasked(*unmask, std::get<Unmasked>(value), blobs);
  if (const auto* mask = std::get_if<MaskUpdate>(&work)) checker_->secure().on_masked(node.parts.key, mask->offer.key, std::get<UpdateMasked>(value));
  if (finding) fail({ErrorCode::kInternal, *finding});
  return !finding;
}

void World::on(Node& node, StartWork command) {
  if (!check_begun(node, command.work)) return;
  Duration duration = node.parts.duration(command.work);
  for (const SlowPeer& slow : config_.faults.slow_peers)
    if (slow.node == node.index) duration = from_seconds(seconds(duration) * slow.work);
  RunningWork& running = node.running[command.ticket];
  running.blobs = std::make_unique<StagedBlobs>(node.blobs);
  const bool watched = std::holds_alternative<MaskUpdate>(command.work) || std::holds_alternative<Unmask>(command.work);
  if (watched) running.watched = command.work;
  auto task = std::make_shared<std::packaged_task<Result<WorkValue>()>>(  // shared: std::function wants a copyable task
      [&compute = node.parts.work, work = std::move(command.work), blobs = running.blobs.get()] { return compute(work, *blobs); });
  running.result = task->get_future();
  if (workers_)
    workers_->submit([task] { (*task)(); });
  else
    (*task)();
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
  if (result && work.watched && !check_done(node, *work.watched, *result, *work.blobs)) return;
  // In virtual time the work writes when it ends.
  if (!work.blobs->empty() && node.blobs.full())
    result = unexpected(ErrorCode::kDiskFull, "no space is left on the simulated disk");
  else
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
  entry.fields.insert(entry.fields.begin(), {{"t", seconds(since_start())}, {"node", node.index}});
  log_->write(entry);
}

void World::on(Node& node, const Halt& command) {
  trace("halt", node.index, bytes_of(command.text));
  tell([&] { return name_of_node(node.index) + " halts: " + command.text; });
  node.halted = true;
  node.machine.reset();
  node.transfer.reset();
}

}  // namespace covey
