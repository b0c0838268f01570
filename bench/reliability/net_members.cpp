// Rows 25 and 29: a member that is revoked, and one that stops reading.
#include <signal.h>

#include <atomic>
#include <thread>

#include "bench/load/estate.h"
#include "bench/load/probe.h"
#include "bench/load/proxy.h"
#include "bench/load/raw_socket.h"
#include "bench/reliability/rows.h"
#include "core/base/random.h"
#include "core/store/blobs.h"
#include "net/reactor.h"

namespace covey::bench {
namespace {

using namespace load;

constexpr std::size_t kRevocations = 20;

}  // namespace

std::vector<Figure> net_revocation() {
  Estate estate(kRevocations);
  estate.serve();
  std::size_t most = 0, refused = 0, told = 0;
  double slowest = 0;
  for (std::size_t i = 0; i < kRevocations; ++i) {
    Probe member(estate.address(), key_of_node(i));
    member.join(10);
    std::thread revoking([&] { estate.ask(RevokeNode{name_of_node(i)}); });
    // It talks without a pause until it hears that it may not, and then half a second more.
    const double begin = now_seconds();
    double end = begin + 10;
    bool revoked = false;
    std::size_t after = 0;
    while (now_seconds() < end) {
      for (int n = 0; n < 20; ++n) member.send(Heartbeat{member.instance()});
      while (const auto message = member.receive(0.001)) {
        if (revoked) ++after;
        if (revoked || !std::holds_alternative<JoinRefused>(*message)) continue;
        revoked = true;
        slowest = std::max(slowest, now_seconds() - begin);
        end = now_seconds() + 0.5;
      }
    }
    revoking.join();
    told += revoked ? 1 : 0;
    most = std::max(most, after);
    for (const bool bulk : {false, true}) {
      Probe again(estate.address(), key_of_node(i), {{}, bulk, true});
      refused += again.await_link(5) == LinkState::kRefused ? 1 : 0;
    }
  }
  const std::string beside = std::to_string(told) + " of " + std::to_string(kRevocations) + " told, the last after " + std::to_string(slowest) + " s";
  return {at_most("row 25: messages heard of a revoked node", told == kRevocations ? static_cast<double>(most) : 99, "", 1, beside),
          exactly("row 25: its next handshakes refused", 100.0 * static_cast<double>(refused) / (2 * kRevocations), "%", 100)};
}

// ---- row 29
namespace {

constexpr std::size_t kReaders = 4;
constexpr std::size_t kBlobs = 24;
constexpr std::size_t kBlobBytes = 24 << 20;
constexpr std::uint64_t kBudgetMiB = 64;

// Publishes its blobs to the readers; everything else is the transport's.
class Library final : public Machine {
 public:
  explicit Library(std::vector<BlobRef> blobs) : blobs_(std::move(blobs)) {}
  Commands handle(const Event& event, Instant) override {
    if (!std::holds_alternative<Started>(event)) return {};
    Commands commands;
    for (std::size_t i = 0; i < kReaders; ++i) commands.push_back(AdmitPeer{key_of_node(i).public_key(), Admission::kMember});
    for (const BlobRef& blob : blobs_) commands.push_back(PublishBlob{blob.id, std::nullopt});
    return commands;
  }

 private:
  std::vector<BlobRef> blobs_;
};

class NoWork final : public Executor {
 public:
  void persist(Persist, Completion) override {}
  void start(StartWork, Completion) override {}
  void cancel(Ticket) override {}
};

Bytes blob_content(std::size_t number) {
  Bytes bytes(kBlobBytes);
  Random random(number);
  for (std::size_t i = 0; i + 8 <= bytes.size(); i += 4096) {
    const std::uint64_t word = random.next();
    std::copy_n(reinterpret_cast<const std::uint8_t*>(&word), 8, bytes.data() + i);
  }
  return bytes;
}

std::vector<BlobRef> put_all(BlobStore& blobs) {
  std::vector<BlobRef> refs;
  for (std::size_t i = 0; i < kBlobs; ++i) refs.push_back(blobs.put(blob_content(i)).value());
  return refs;
}

CurveKey library_key() { return key_of_node(1'000'000); }

int serve_library(std::uint16_t control, std::uint16_t bulk) {
  MemoryBlobs blobs;
  Library machine(put_all(blobs));
  NoWork executor;
  SystemClock clock;
  NullLog log;
  const CurveKey key = library_key();
  ListenConfig config{"127.0.0.1", control, bulk};
  config.send_bytes_max = kBudgetMiB << 20;
  auto reactor = make_listener(config, {machine, executor, blobs, clock, log, key});
  return reactor ? (*reactor)->run().value_or(1) : 1;
}

int read_for_ever(const CoordinatorAddress& address, const std::vector<BlobRef>& refs, std::size_t reader, SharedCounter& bytes) {
  const CurveKey key = key_of_node(reader);
  MemoryBlobs here;
  const auto caller = make_caller({address}, key, here).value();
  for (std::size_t n = reader;; ++n) {
    const BlobRef& blob = refs[n % refs.size()];
    std::uint64_t before = 0;
    const auto got = caller->fetch(blob, std::chrono::seconds(60), [&](std::uint64_t now) {
      bytes.add(now - before);
      before = now;
    });
    if (!got || !here.erase(blob.id)) return 1;
  }
}

}  // namespace

std::vector<Figure> net_stopped_reader() {
  const CurveKey key = library_key();
  const CoordinatorAddress address{"127.0.0.1", listening_port(), listening_port(), key.public_key(), {}, {}};
  std::vector<BlobRef> refs;
  {
    MemoryBlobs scratch;
    refs = put_all(scratch);
  }
  Child service([&] { return serve_library(address.control_port, address.bulk_port); });
  for (int i = 0; i < 1000 && !RawSocket(address.bulk_port).connected(); ++i) pause_seconds(0.02);
  std::vector<std::unique_ptr<SharedCounter>> counters;
  std::vector<Child> readers;
  for (std::size_t i = 0; i < kReaders; ++i) {
    counters.push_back(std::make_unique<SharedCounter>());
    readers.emplace_back([&, i] { return read_for_ever(address, refs, i, *counters[i]); });
  }
  const auto others = [&] {
    std::uint64_t bytes = 0;
    for (std::size_t i = 1; i < kReaders; ++i) bytes += counters[i]->get();
    return static_cast<double>(bytes);
  };
  const auto rate_over = [&](double seconds) {
    const double bytes = others(), begin = now_seconds();
    pause_seconds(seconds);
    return (others() - bytes) / (now_seconds() - begin) / 1e6;
  };
  pause_seconds(1.5);
  const double with_all = rate_over(4);
  const auto rss = static_cast<double>(service.rss_bytes());
  readers[0].signal(SIGSTOP);
  pause_seconds(0.5);
  const double without = rate_over(4);
  const double growth = (static_cast<double>(service.peak_rss_bytes()) - rss) / 1048576;
  const std::string beside = std::to_string(static_cast<int>(with_all)) + " MB/s by three beside a fourth, " + std::to_string(static_cast<int>(without)) +
                             " MB/s once that was stopped; " + machine_state();
  return {at_least("row 29: what the others get while one client is stopped", 100 * without / with_all, "%", 90, beside),
          at_most("row 29: memory the service gains by it", growth, "MiB", static_cast<double>(kBudgetMiB), "the budget is " + std::to_string(kBudgetMiB) + " MiB in all, 5 MiB a peer")};
}

}  // namespace covey::bench
