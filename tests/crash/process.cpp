// The process that dies: one real node, as its main wires it, with the packets' channel for a network.
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <mutex>

#include "client/client.h"
#include "coordinator/service/durable_state.h"
#include "coordinator/tables.h"
#include "coordinator/work.h"
#include "core/base/file.h"
#include "core/base/wire.h"
#include "core/service/orphans.h"
#include "core/service/pooled_executor.h"
#include "core/store/blobs.h"
#include "net/codec.h"
#include "tests/crash/channel.h"
#include "tests/crash/node_loop.h"
#include "tests/crash/site.h"

namespace covey::crash {
namespace {

constexpr std::size_t kCoordinatorThreads = 2;
constexpr int kExitFailed = 3;

ByteWriter packet(Packet kind) { return std::move(ByteWriter().u8(static_cast<std::uint8_t>(kind))); }

void write_rows(ByteWriter& out, const std::vector<Row>& rows) {
  out.u32(static_cast<std::uint32_t>(rows.size()));
  for (const Row& row : rows) out.text(row.key).blob(row.value);
}

template <class Digests>
void write_digests(ByteWriter& out, const Digests& digests) {
  out.u32(static_cast<std::uint32_t>(digests.size()));
  for (const Digest& digest : digests) out.fixed(digest);
}

// Lets the process tell what it must before anything that is written now can outlive it.
class TellingExecutor final : public Executor {
 public:
  TellingExecutor(std::unique_ptr<Executor> inner, std::function<void()> tell) : inner_(std::move(inner)), tell_(std::move(tell)) {}
  void persist(Persist command, Completion done) override {
    tell_();
    inner_->persist(std::move(command), std::move(done));
  }
  void start(StartWork command, Completion done) override { inner_->start(std::move(command), std::move(done)); }
  void cancel(Ticket ticket) override { inner_->cancel(ticket); }

 private:
  std::unique_ptr<Executor> inner_;
  std::function<void()> tell_;
};

// As the mains wire their parts, in their order.
class Process {
 public:
  Process(const ProcessParts& parts, Channel& channel) : parts_(parts), channel_(channel), wake_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  Result<void> open() {
    COVEY_TRY(const std::vector<Row> rows, parts_.client ? open_client() : open_coordinator());
    if (parts_.mutant == Mutant::kGreedySweep) {
      COVEY_TRY(const std::set<Digest> named, blobs_in_rows(rows));
      COVEY_TRY_VOID(erase_orphans(*blob_files_, mutate(parts_.mutant, named, rows)));
    }
    blobs_ = std::make_unique<LateBlobs>(parts_.mutant, *blob_files_);
    store_ = std::make_unique<MutantStore>(parts_.mutant, *store_files_, *blobs_);
    COVEY_TRY(const std::vector<Digest> present, blob_files_->list());
    COVEY_TRY(const std::set<Digest> needed, needed_by(rows));
    ByteWriter booted = packet(Packet::kBooted);
    write_rows(booted, rows);
    write_digests(booted, present);
    write_digests(booted, needed);
    tell(booted);
    COVEY_TRY(machine_, make_machine(mutate(parts_.mutant, rows)));
    machine_ = mutate(parts_.mutant, std::move(machine_));
    executor_ = mutate(parts_.mutant, std::make_unique<PooledExecutor>(
        *store_, parts_.client ? 1 : kCoordinatorThreads,
        [this](const Work& work, const std::atomic<bool>&) { return compute(work); }));
    executor_ = std::make_unique<TellingExecutor>(std::move(executor_), [this] { tell_encoded(); });
    loop_ = std::make_unique<NodeLoop>(NodeLoop::Parts{
        *machine_, *executor_, *blobs_, [this](const Link& to, const Message& message) { show(to, message); },
        [this] { ring(); }});
    return {};
  }

  [[noreturn]] void run() {
    bool told_idle = false;
    while (true) {
      loop_->drain();
      if (channel_.has_packet()) {
        obey(*channel_.read(0));
        told_idle = false;
        continue;
      }
      if (channel_.closed()) ::_exit(0);
      if (!loop_->busy() && !told_idle) {
        tell_idle();
        told_idle = true;
        continue;  // a packet may have come in while that was written
      }
      wait();
    }
  }

  void tell(const ByteWriter& out) {
    if (!channel_.write(out.bytes())) ::_exit(0);
  }

 private:
  Result<std::vector<Row>> open_coordinator() {
    NullLog log;
    COVEY_TRY(DurableState state, open_state({.folder = parts_.folder, .mark = default_mark_path(parts_.folder)}, log));
    store_files_ = std::move(state.store);
    blob_files_ = std::move(state.blobs);
    return std::move(state.rows);
  }

  Result<std::vector<Row>> open_client() {
    COVEY_TRY(store_files_, open_rocks_store(parts_.folder + "/db"));
    COVEY_TRY(blob_files_, open_blob_files(parts_.folder + "/blobs"));
    COVEY_TRY(std::vector<Row> rows, store_files_->scan(""));
    COVEY_TRY(const std::set<Digest> needed, needed_by(rows));
    COVEY_TRY_VOID(erase_orphans(*blob_files_, needed));
    return rows;
  }

  Result<std::set<Digest>> needed_by(const std::vector<Row>& rows) const {
    if (!parts_.client) return blobs_needed(rows);
    COVEY_TRY(const std::vector<Digest> needed, referenced_blobs(rows));
    return std::set<Digest>(needed.begin(), needed.end());
  }

  Result<std::unique_ptr<Machine>> make_machine(const std::vector<Row>& rows) const {
    if (!parts_.client) {
      COVEY_TRY(auto coordinator, Coordinator::create(parts_.scene->coordinator_config(parts_.seed, parts_.start), rows));
      return std::unique_ptr<Machine>(std::move(coordinator));
    }
    COVEY_TRY(auto client, Client::create(parts_.scene->client_config(*parts_.client, parts_.seed, parts_.start), rows));
    return std::unique_ptr<Machine>(std::move(client));
  }

  Result<WorkValue> compute(const Work& work) {
    if (parts_.client)
      return client_work(*parts_.scene, *parts_.client, work, *blobs_, [this](Encoded encoded) {
        const std::lock_guard lock(encoded_mutex_);
        encoded_.push_back(std::move(encoded));
      });
    return coordinator_work(work, *blobs_, [this](std::string_view key) { return store_->get(key); });
  }

  // Before anything that is made of it leaves or is written; on this thread, whose channel it is.
  void tell_encoded() {
    std::vector<Encoded> all;
    {
      const std::lock_guard lock(encoded_mutex_);
      all.swap(encoded_);
    }
    for (const Encoded& one : all) {
      ByteWriter out = packet(Packet::kEncoded);
      out.u64(one.key.job).u32(one.key.round).u32(one.key.attempt).u32(one.members_max);
      out.u32(static_cast<std::uint32_t>(one.vectors.size()));
      for (const auto& vector : one.vectors) {
        out.u32(static_cast<std::uint32_t>(vector.size()));
        for (const std::uint64_t word : vector) out.u64(word);
      }
      tell(out);
    }
  }

  void show(const Link& to, const Message& message) {
    tell_encoded();
    tell(packet(Packet::kFrame).fixed(to.peer).u64(to.session).blob(encode_frame(message)));
  }

  void ring() {
    const std::uint64_t one = 1;
    (void)!::write(wake_.number(), &one, sizeof one);  // full: it rings already
  }

  void wait() {
    pollfd files[2] = {{channel_.number(), POLLIN, 0}, {wake_.number(), POLLIN, 0}};
    ::poll(files, 2, -1);
    if ((files[0].revents & (POLLIN | POLLHUP)) != 0) channel_.pull();
    std::uint64_t rung = 0;
    if ((files[1].revents & POLLIN) != 0) (void)!::read(wake_.number(), &rung, sizeof rung);
  }

  void tell_idle() {
    const auto due = loop_->next_due();
    tell(packet(Packet::kIdle).u64(obeyed_).boolean(loop_->halted()).boolean(due.has_value()).instant(due.value_or(Instant())));
  }

  void obey(const Bytes& order) {
    ByteReader reader(order);
    const auto kind = static_cast<Packet>(reader.u8());
    const Instant now = reader.instant();
    ++obeyed_;
    if (kind == Packet::kStart) loop_->start(now);
    if (kind == Packet::kAdvance) loop_->advance(now);
    if (kind == Packet::kStop) stop();
    if (kind != Packet::kDeliver) return;
    const PeerKey peer = reader.fixed<PeerKey>();
    const std::uint64_t session = reader.u64();
    const auto message = decode_frame(reader.blob());
    COVEY_CHECK(message.has_value());
    loop_->receive({peer, session}, *message, now);
  }

  [[noreturn]] void stop() {
    executor_.reset();
    const auto rows = store_->scan("");
    ByteWriter out = packet(Packet::kRows);
    write_rows(out, rows ? *rows : std::vector<Row>());
    tell(out);
    store_files_.reset();
    ::_exit(0);
  }

  const ProcessParts& parts_;
  Channel& channel_;
  FileDescriptor wake_;
  std::unique_ptr<Store> store_files_;
  std::unique_ptr<BlobStore> blob_files_;
  std::unique_ptr<LateBlobs> blobs_;
  std::unique_ptr<MutantStore> store_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<NodeLoop> loop_;
  std::mutex encoded_mutex_;
  std::vector<Encoded> encoded_;   // made by a worker, told by this thread
  std::unique_ptr<Executor> executor_;
  std::uint64_t obeyed_ = 0;
};

}  // namespace

void run_process(const ProcessParts& parts, Channel& channel) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  arm_faults(*parts.faults, parts.point, parts.nth);
  Process process(parts, channel);
  if (const auto opened = process.open(); !opened) {
    process.tell(packet(Packet::kFailed).text(opened.error().message));
    ::_exit(kExitFailed);
  }
  process.run();
}

}  // namespace covey::crash
