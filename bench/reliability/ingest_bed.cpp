#include "bench/reliability/ingest_bed.h"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>

#include "bench/reliability/ingest_parts.h"
#include "coordinator/work.h"
#include "core/service/heap.h"
#include "core/service/pooled_executor.h"
#include "core/store/blobs.h"
#include "core/store/store.h"
#include "net/reactor.h"
#include "tests/core/base/temporary_folder.h"

namespace covey::bench {
namespace {

struct Ports {
  std::uint16_t control = 0, bulk = 0;
};

struct Report {  // through a pipe
  char error[200] = {};
  std::size_t count = 0;
  IngestRound rounds[32];
};

template <class T>
void tell(int pipe, const T& value) {
  if (::write(pipe, &value, sizeof value) != static_cast<ssize_t>(sizeof value)) ::_exit(9);
}

template <class T>
bool hear(int pipe, T& value) {
  auto* at = reinterpret_cast<char*>(&value);
  for (std::size_t got = 0; got < sizeof value;) {
    const ssize_t n = ::read(pipe, at + got, sizeof value - got);
    if (n <= 0) return false;
    got += static_cast<std::size_t>(n);
  }
  return true;
}

void set_error(Report& report, const std::string& text) { text.copy(report.error, sizeof report.error - 1); }

void take_in(const IngestPlan& plan, const std::string& folder, int pipe) {
  share_one_heap();  // as covey-coordinator does
  std::vector<PeerKey> givers;
  for (std::size_t i = 1; i <= plan.clients; ++i) givers.push_back(bed_key(static_cast<std::uint8_t>(i)).public_key());
  Report report;
  std::unique_ptr<BlobStore> blobs;
  if (plan.intake == Intake::kCryptoAlone) {
    blobs = std::make_unique<SyntheticBlobs>(0, 0, 0);
  } else if (auto opened = open_blob_files(folder)) {
    blobs = std::move(*opened);
  } else {
    set_error(report, opened.error().message);
  }
  if (blobs != nullptr) {
    TakingMachine machine(plan, givers);
    MemoryStore store;
    CoordinatorWork work({4, ~std::uint64_t{0}, {}});
    PooledExecutor executor(store, 4, [&](const Work& one, const std::atomic<bool>&) { return work.compute(one, *blobs); });
    SystemClock clock;
    const auto log = make_log({LogFormat::kText, LogLevel::kError, ""});
    const CurveKey key = bed_key(0);
    const auto reactor = make_listener({"127.0.0.1", 0, 0}, {machine, executor, *blobs, clock, *log, key});
    if (reactor) {
      tell(pipe, Ports{(*reactor)->control_port(), (*reactor)->bulk_port()});
      const auto code = (*reactor)->run();
      if (!code) set_error(report, code.error().message);
      else if (*code != 0) set_error(report, machine.error());
    } else {
      set_error(report, reactor.error().message);
    }
    for (const IngestRound& round : machine.rounds()) report.rounds[report.count++] = round;
  }
  tell(pipe, report);
}

void give(const IngestPlan& plan, std::uint8_t number, Ports ports) {
  SyntheticBlobs blobs(number, plan.updates * plan.rounds, plan.parameters);
  GivingMachine machine(bed_key(0).public_key(), plan, blobs.updates());
  MemoryStore store;
  PooledExecutor executor(store, 1, [](const Work&, const std::atomic<bool>&) -> Result<WorkValue> {
    return unexpected(ErrorCode::kInternal, "a giver computes nothing");
  });
  SystemClock clock;
  const auto log = make_log({LogFormat::kText, LogLevel::kError, ""});
  const CurveKey key = bed_key(number);
  DialConfig config;
  config.coordinator.host = "127.0.0.1";
  config.coordinator.control_port = ports.control;
  config.coordinator.bulk_port = ports.bulk;
  config.coordinator.curve = bed_key(0).public_key();
  const auto reactor = make_dialer(config, {machine, executor, blobs, clock, *log, key});
  if (reactor) (void)(*reactor)->run();
}

// The child ends with its parent, and at the limit.
template <class Act>
pid_t in_child(unsigned limit_s, Act act) {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child != 0) return child;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(1);
  ::alarm(limit_s);
  try {
    act();
  } catch (const std::exception& failure) {  // never into the parent's code
    std::fprintf(stderr, "ingest: %s\n", failure.what());
    ::_exit(1);
  }
  ::_exit(0);
}

}  // namespace

Ingested ingest_here(const IngestPlan& plan) {
  Ingested result;
  const TemporaryFolder folder;
  int ends[2];
  if (::pipe(ends) != 0) return {{}, "no pipe"};
  const pid_t taker = in_child(plan.limit_s, [&] { take_in(plan, folder / "blobs", ends[1]); });
  ::close(ends[1]);
  std::vector<pid_t> givers;
  Ports ports;
  Report report;
  if (hear(ends[0], ports)) {
    for (std::size_t i = 1; i <= plan.clients; ++i)
      givers.push_back(in_child(plan.limit_s, [&] { give(plan, static_cast<std::uint8_t>(i), ports); }));
    if (!hear(ends[0], report)) set_error(report, "the receiver did not end within " + std::to_string(plan.limit_s) + " s");
  } else {
    set_error(report, "the receiver did not start");
  }
  ::close(ends[0]);
  for (const pid_t giver : givers) ::kill(giver, SIGKILL);
  ::kill(taker, SIGKILL);
  for (const pid_t giver : givers) ::waitpid(giver, nullptr, 0);
  ::waitpid(taker, nullptr, 0);
  result.error = report.error;
  result.rounds.assign(report.rounds, report.rounds + report.count);
  return result;
}

}  // namespace covey::bench
