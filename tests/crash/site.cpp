#include "tests/crash/site.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/wire.h"
#include "core/store/store.h"
#include "net/codec.h"
#include "tests/crash/channel.h"
#include "tests/crash/node_loop.h"

namespace covey::crash {
namespace {

constexpr int kPatienceMs = 30'000;  // with a process that neither answers nor dies

// ---- here

class InlineExecutor final : public Executor {
 public:
  InlineExecutor(Store& store, BlobStore& blobs, std::function<Result<WorkValue>(const Work&, BlobStore&)> work)
      : store_(store), blobs_(blobs), work_(std::move(work)) {}
  void persist(Persist command, Completion done) override {
    COVEY_CHECK(store_.write(command.batch).has_value());
    done(Persisted{command.ticket});
  }
  void start(StartWork command, Completion done) override {
    auto result = work_(command.work, blobs_);
    if (result)
      done(WorkDone{command.ticket, std::move(*result)});
    else
      done(WorkFailed{command.ticket, result.error()});
  }
  void cancel(Ticket) override {}

 private:
  Store& store_;
  BlobStore& blobs_;
  std::function<Result<WorkValue>(const Work&, BlobStore&)> work_;
};

class LocalSite final : public Site {
 public:
  explicit LocalSite(LocalParts parts)
      : parts_(std::move(parts)),
        executor_(*parts_.store, *parts_.blobs, parts_.work),
        loop_({*parts_.machine, executor_, *parts_.blobs,
               [this](const Link& to, const Message& message) { sent_.push_back({to, message}); }, nullptr}) {}

  void start(Instant now) override { loop_.start(now), loop_.drain(); }
  void deliver(const Link& from, const Message& message, Instant now) override {
    loop_.receive(from, message, now);
    loop_.drain();
  }
  void advance(Instant now) override { loop_.advance(now), loop_.drain(); }
  bool settle() override { return true; }
  std::vector<Emission> take() override { return std::exchange(sent_, {}); }
  std::optional<Instant> next_due() const override { return loop_.next_due(); }
  bool halted() const override { return loop_.halted(); }
  std::vector<Row> stop() override { return std::move(*parts_.store->scan("")); }

 private:
  LocalParts parts_;
  InlineExecutor executor_;
  std::vector<Emission> sent_;
  NodeLoop loop_;
};

// ---- elsewhere

std::vector<Row> read_rows(ByteReader& reader) {
  std::vector<Row> rows(reader.count(8));
  for (Row& row : rows) {
    row.key = reader.text();
    const ByteSpan value = reader.blob();
    row.value.assign(value.begin(), value.end());
  }
  return rows;
}

Encoded read_encoded(ByteReader& reader) {
  Encoded encoded;
  encoded.key.job = reader.u64();
  encoded.key.round = reader.u32();
  encoded.key.attempt = reader.u32();
  encoded.members_max = reader.u32();
  encoded.vectors.resize(reader.count(4));
  for (auto& vector : encoded.vectors) {
    vector.resize(reader.count(8));
    for (std::uint64_t& word : vector) word = reader.u64();
  }
  return encoded;
}

std::vector<Digest> read_digests(ByteReader& reader) {
  std::vector<Digest> digests(reader.count(Digest::kSize));
  for (Digest& digest : digests) digest = reader.fixed<Digest>();
  return digests;
}

class ProcessSite final : public Site {
 public:
  explicit ProcessSite(const ProcessParts& parts) : ProcessSite(Channel::make_pair(), parts) {}
  ~ProcessSite() override {
    if (child_ > 0 && !reaped_) {
      ::kill(child_, SIGKILL);
      reap();
    }
  }
  ProcessSite(const ProcessSite&) = delete;
  ProcessSite& operator=(const ProcessSite&) = delete;

  void start(Instant now) override { order(Packet::kStart, now); }
  void advance(Instant now) override { order(Packet::kAdvance, now); }
  void deliver(const Link& from, const Message& message, Instant now) override {
    send(order_of(Packet::kDeliver, now).fixed(from.peer).u64(from.session).blob(encode_frame(message)));
  }

  bool settle() override {
    while (!dead_ && idle_after_ != orders_)
      if (!read_one(kPatienceMs)) break;
    return !dead_;
  }
  std::vector<Emission> take() override { return std::exchange(sent_, {}); }
  std::optional<Instant> next_due() const override { return due_; }
  bool halted() const override { return halted_; }
  std::optional<BootReport> take_boot() override { return std::exchange(boot_, std::nullopt); }
  std::vector<Encoded> take_encoded() override { return std::exchange(encoded_, {}); }
  std::optional<std::string> defect() const override { return defect_; }

  std::vector<Row> stop() override {
    order(Packet::kStop, Instant());
    while (!dead_ && !rows_ && read_one(kPatienceMs)) {}
    if (!rows_) return {};
    reap();
    return std::move(*rows_);
  }

 private:
  ProcessSite(Channel::Pair pair, const ProcessParts& parts) : channel_(std::move(pair.here)) {
    child_ = ::fork();
    COVEY_CHECK(child_ >= 0);
    if (child_ == 0) {
      { const Channel closed = std::move(channel_); }
      run_process(parts, pair.there);
    }
    const Channel given = std::move(pair.there);
  }

  static ByteWriter order_of(Packet kind, Instant now) {
    return std::move(ByteWriter().u8(static_cast<std::uint8_t>(kind)).instant(now));
  }
  void order(Packet kind, Instant now) { send(order_of(kind, now)); }
  void send(const ByteWriter& packet) {
    ++orders_;
    if (!dead_) (void)channel_.write(packet.bytes());  // its end shows when it is read
  }

  // false: it is dead, or out of patience with it.
  bool read_one(int patience_ms) {
    const auto packet = channel_.read(patience_ms);
    if (packet) {
      take_in(*packet);
      return true;
    }
    dead_ = true;
    if (!channel_.closed()) {
      defect_ = "it neither answered nor ended within " + std::to_string(patience_ms / 1000) + " s";
      ::kill(child_, SIGKILL);
    }
    reap();
    return false;
  }

  void reap() {
    int status = 0;
    COVEY_CHECK(::waitpid(child_, &status, 0) == child_);
    reaped_ = true;
    if (defect_ || rows_) return;
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) return;  // the switch
    defect_ = WIFSIGNALED(status) ? "it was ended by signal " + std::to_string(WTERMSIG(status))
                                  : "it ended by itself with code " + std::to_string(WEXITSTATUS(status));
  }

  void take_in(const Bytes& packet) {
    ByteReader reader(packet);
    switch (static_cast<Packet>(reader.u8())) {
      case Packet::kFrame: {
        const PeerKey peer = reader.fixed<PeerKey>();
        const std::uint64_t session = reader.u64();
        auto message = decode_frame(reader.blob());
        COVEY_CHECK(message.has_value());
        sent_.push_back({{peer, session}, std::move(*message)});
        return;
      }
      case Packet::kIdle: {
        idle_after_ = reader.u64();
        halted_ = reader.boolean();
        const bool has_due = reader.boolean();
        const Instant due = reader.instant();
        due_ = has_due ? std::optional(due) : std::nullopt;
        return;
      }
      case Packet::kEncoded: encoded_.push_back(read_encoded(reader)); return;
      case Packet::kBooted: {
        BootReport boot;
        boot.rows = read_rows(reader);
        boot.blobs = read_digests(reader);
        boot.needed = read_digests(reader);
        boot_ = std::move(boot);
        return;
      }
      case Packet::kRows: rows_ = read_rows(reader); return;
      case Packet::kFailed: defect_ = "it does not start: " + reader.text(); return;
      default: COVEY_CHECK(false);
    }
  }

  Channel channel_;
  pid_t child_ = -1;
  bool reaped_ = false;
  bool dead_ = false;
  bool halted_ = false;
  std::uint64_t orders_ = 0;
  std::uint64_t idle_after_ = 0;
  std::vector<Emission> sent_;
  std::vector<Encoded> encoded_;
  std::optional<Instant> due_;
  std::optional<BootReport> boot_;
  std::optional<std::vector<Row>> rows_;
  std::optional<std::string> defect_;
};

}  // namespace

std::unique_ptr<Site> local_site(LocalParts parts) { return std::make_unique<LocalSite>(std::move(parts)); }
std::unique_ptr<Site> process_site(ProcessParts parts) { return std::make_unique<ProcessSite>(parts); }

}  // namespace covey::crash
