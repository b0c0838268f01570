#include "bench/load/soak.h"

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <new>
#include <set>
#include <sstream>
#include <stdexcept>

#include "bench/load/estate.h"
#include "bench/load/visitor.h"
#include "core/protocol/job_spec.h"
#include "core/service/file_limit.h"
#include "core/service/heap.h"
#include "core/spec/parameter_table.h"

namespace covey::load {
namespace {

// Rounds that end soon, whoever stays: 203,530 parameters, four chunks.
constexpr const char* kJob = R"(
name = "soak"
rounds = 10000
[model]
family = "mlp"
inputs = 784
hidden = [256]
classes = 10
[data]
format = "idx"
[train]
batch_size = 10
[selection]
fraction = 0.2
min_clients = 4
[round]
deadline_s = 2
quorum = 0.01
attempts_max = 1000
[privacy]
secure_aggregation = false
)";

constexpr double kPauseSeconds = 0.002;
constexpr double kTrimSeconds = 0.5 + std::chrono::duration<double>(HeapKeeper::kEvery).count();
constexpr double kRestSeconds = 40;  // for the coordinator to close what a batch left

struct Shared {
  VisitCounts counts;
  std::atomic<std::uint64_t> batch;  // visits may be begun up to its end; 0: none yet
  std::atomic<std::uint64_t> done;   // processes that ended it
};

// Memory that the processes share; zeros at first.
class SharedCounts {
 public:
  SharedCounts() {
    void* const memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("no shared memory");
    shared_ = new (memory) Shared{};
  }
  ~SharedCounts() { ::munmap(shared_, sizeof(Shared)); }
  SharedCounts(const SharedCounts&) = delete;
  SharedCounts& operator=(const SharedCounts&) = delete;
  Shared& operator*() const { return *shared_; }
  Shared* operator->() const { return shared_; }

 private:
  Shared* shared_;
};

// One process: visits number, number + processes, ... of every batch.
class Visiting {
 public:
  Visiting(const SoakPlan& plan, const CoordinatorAddress& address, Shared& shared, std::size_t number)
      : plan_(plan), number_(number), shared_(shared),
        town_(address, parameter_table(parse_job(kJob).value().model).size, shared.counts), random_(plan.seed) {}

  int live() {
    raise_file_limit();
    for (std::size_t batch = 1; batch <= plan_.batches; ++batch) {
      while (shared_.batch.load() < batch) pause_seconds(kPauseSeconds);
      const std::size_t end = plan_.visits * batch / plan_.batches;
      while (next_ < end || !quiet()) turn(end);
      for (const auto& visitor : visitors_) visitor->vanish();
      visitors_.clear();
      here_.clear();
      ++shared_.done;
    }
    return 0;
  }

 private:
  // Only those that say nothing any more are left: they are not waited for at a batch's end.
  bool quiet() const {
    return std::all_of(visitors_.begin(), visitors_.end(), [](const auto& visitor) { return visitor->silent(); });
  }
  void turn(std::size_t end) {
    for (; next_ < end && visitors_.size() < plan_.at_once; ++next_) {
      if (next_ % plan_.processes != number_) continue;
      Random random = random_.split("visit", next_);
      const auto draw = [&] { return random.below(plan_.nodes / plan_.processes) * plan_.processes + number_; };
      std::size_t node = draw();
      while (!here_.insert(node).second) node = draw();  // one that is not here already
      visitors_.push_back(std::make_unique<Visitor>(town_, node, random.next()));
    }
    const double now = now_seconds();
    std::erase_if(visitors_, [&](const auto& visitor) {
      if (visitor->turn(now)) return false;
      here_.erase(visitor->node());
      return true;
    });
    pause_seconds(kPauseSeconds);
  }

  const SoakPlan& plan_;
  std::size_t number_;
  Shared& shared_;
  Town town_;
  Random random_;
  std::size_t next_ = 0;
  std::vector<std::unique_ptr<Visitor>> visitors_;
  std::set<std::size_t> here_;
};

Gauge gauge_of(const Child& service) {
  const std::size_t sockets = service.open_sockets();
  return {static_cast<double>(service.rss_bytes()), service.open_files() - sockets, sockets, service.threads()};
}

// When the sockets are as many as at first, or the patience ends, and what was freed last had its time to go
// back to the system: then the gauge tells.
Gauge rested(const Child& service, std::size_t sockets) {
  const double end = now_seconds() + kRestSeconds;
  while (service.open_sockets() > sockets && now_seconds() < end) pause_seconds(0.05);
  pause_seconds(kTrimSeconds);
  return gauge_of(service);
}

void tell(Soaked& soaked, const VisitCounts& counts) {
  soaked.joined = counts.joined;
  soaked.not_joined = counts.not_joined;
  soaked.unanswered = counts.unanswered;
  soaked.left = counts.left;
  soaked.vanished = counts.vanished;
  soaked.silent = counts.silent;
  soaked.offered = counts.offered;
  soaked.downloads_cut = counts.downloads_cut;
  soaked.uploads_cut = counts.uploads_cut;
  soaked.uploads_whole = counts.uploads_whole;
}

const Gauge& at(const std::vector<Gauge>& gauges, double share) {
  return gauges.at(static_cast<std::size_t>(std::ceil(share * static_cast<double>(gauges.size() - 1))));
}

long gained(std::size_t before, std::size_t after) { return static_cast<long>(after) - static_cast<long>(before); }

}  // namespace

double Soaked::rss_growth_percent(double warm) const {
  return 100 * (gauges.back().rss_bytes / at(gauges, warm).rss_bytes - 1);
}
long Soaked::files_gained() const { return gained(at(gauges, kWarm).files, gauges.back().files); }
long Soaked::sockets_gained() const { return gained(at(gauges, kWarm).sockets, gauges.back().sockets); }
long Soaked::threads_gained() const { return gained(at(gauges, kWarm).threads, gauges.back().threads); }

std::string Soaked::text() const {
  std::ostringstream text;
  text.precision(4);
  text << joined << " joined (" << not_joined << " could not, " << unanswered << " then waited in vain), " << left << " left, "
       << vanished << " vanished, " << silent << " fell silent; " << downloads_cut << " downloads and " << uploads_cut
       << " uploads cut, " << uploads_whole << " whole, " << rounds << " rounds committed; RSS in MiB";
  for (const Gauge& gauge : gauges) text << ' ' << gauge.rss_bytes / 1048576;
  text << ", peak " << peak_rss_bytes / 1048576 << "; " << seconds << " s, " << cpu_seconds << " s of them the coordinator's CPU";
  return text.str();
}

Soaked soak(const SoakPlan& plan) {
  Soaked soaked;
  Estate estate(plan.nodes);
  estate.serve({{"--nodes-max", std::to_string(plan.nodes + 1000)}});
  estate.submit(kJob);
  const SharedCounts shared;
  const double begin = now_seconds(), cpu = estate.service().cpu_seconds();
  soaked.gauges.push_back(gauge_of(estate.service()));
  const std::size_t sockets = soaked.gauges.front().sockets;
  std::vector<Child> processes;
  for (std::size_t p = 0; p < plan.processes; ++p)
    processes.emplace_back([&, p] { return Visiting(plan, estate.address(), *shared, p).live(); });
  for (std::size_t batch = 1; batch <= plan.batches && soaked.why.empty(); ++batch) {
    shared->batch = batch;
    while (shared->done.load() < batch * plan.processes && soaked.why.empty()) {
      if (!estate.service().alive()) soaked.why = "the coordinator ended: " + estate.log().substr(estate.log().size() / 2).substr(0, 500);
      for (Child& process : processes)
        if (auto code = process.wait(0); code && *code != 0) soaked.why = "a process of visitors ended with " + std::to_string(*code);
      if (now_seconds() - begin > plan.seconds_max)
        soaked.why = "not over after " + std::to_string(plan.seconds_max) + " s, in batch " + std::to_string(batch);
      pause_seconds(0.05);
    }
    if (soaked.why.empty()) soaked.gauges.push_back(rested(estate.service(), sockets));
  }
  tell(soaked, shared->counts);
  soaked.seconds = now_seconds() - begin;
  soaked.cpu_seconds = estate.service().cpu_seconds() - cpu;
  soaked.peak_rss_bytes = static_cast<double>(estate.service().peak_rss_bytes());
  if (soaked.why.empty()) soaked.rounds = std::get<JobRows>(estate.ask(ListJobs{})).rows.at(0).round;
  return soaked;
}

}  // namespace covey::load
