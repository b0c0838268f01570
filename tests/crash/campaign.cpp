#include "tests/crash/campaign.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <new>

#include "core/base/wire.h"
#include "tests/crash/channel.h"

namespace covey::crash {
namespace {

constexpr std::size_t kFailuresKept = 10;
constexpr std::size_t kFindingsTold = 5;

std::uint64_t number_of(const std::string& text) {
  std::uint64_t h = 1469598103934665603ULL;  // FNV-1a
  for (const char c : text) h = (h ^ static_cast<std::uint8_t>(c)) * 1099511628211ULL;
  return h;
}

// Where a death leaves a blob that no row names.
constexpr const char* kOrphanMakers[] = {"blob.put.end", "blob.finish.end", "aggregate.manifest.put"};

void add(Oracle::Tally& all, const Oracle::Tally& one) {
  all.acknowledged += one.acknowledged;
  all.counted += one.counted;
  all.sums += one.sums;
  all.unverified += one.unverified;
  all.changed += one.changed;
  all.changed_refused += one.changed_refused;
  all.chunks_again += one.chunks_again;
  all.ledger += one.ledger;
  all.audit += one.audit;
  all.conflicts += one.conflicts;
  all.aborted += one.aborted;
  all.consumed += one.consumed;
}

Bytes encoded(std::size_t index, const Outcome& outcome) {
  ByteWriter out;
  const Oracle::Tally& t = outcome.tally;
  out.u64(index).u64(outcome.kills).u64(outcome.replayed).text(outcome.stalemate.value_or(""));
  for (const std::uint64_t n : {t.acknowledged, t.counted, t.sums, t.unverified, t.changed, t.changed_refused, t.chunks_again, t.ledger, t.audit, t.conflicts, t.aborted, t.consumed})
    out.u64(n);
  const std::size_t told = std::min(outcome.findings.size(), kFindingsTold);
  out.u32(static_cast<std::uint32_t>(told));
  for (std::size_t i = 0; i < told; ++i) out.text(outcome.findings[i]);
  return out.take();
}

struct Told {
  std::size_t index = 0;
  Outcome outcome;
};

Told decoded(const Bytes& packet) {
  ByteReader in(packet);
  Told told;
  Oracle::Tally& t = told.outcome.tally;
  told.index = static_cast<std::size_t>(in.u64());
  told.outcome.kills = in.u64();
  told.outcome.replayed = in.u64();
  if (std::string says = in.text(); !says.empty()) told.outcome.stalemate = std::move(says);
  for (std::uint64_t* n : {&t.acknowledged, &t.counted, &t.sums, &t.unverified, &t.changed, &t.changed_refused, &t.chunks_again, &t.ledger, &t.audit, &t.conflicts, &t.aborted, &t.consumed})
    *n = in.u64();
  told.outcome.findings.resize(in.count(4));
  for (std::string& finding : told.outcome.findings) finding = in.text();
  return told;
}

}  // namespace

namespace {

// The next plan to play: workers draw from it, whoever is free.
class Queue {
 public:
  Queue() {
    void* memory = ::mmap(nullptr, sizeof(std::atomic<std::size_t>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    COVEY_CHECK(memory != MAP_FAILED);
    next_ = new (memory) std::atomic<std::size_t>(0);
  }
  ~Queue() { ::munmap(next_, sizeof *next_); }
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  std::size_t take() { return next_->fetch_add(1); }
  void close(std::size_t end) { next_->store(end); }

 private:
  std::atomic<std::size_t>* next_;
};

struct Worker {
  Channel channel;
  pid_t process = -1;
};

void include(Summary& all, const Plan& plan, const Told& told) {
  const Outcome& one = told.outcome;
  ++all.runs;
  all.kills += one.kills;
  all.replayed += one.replayed;
  all.stalemates += one.stalemate ? 1 : 0;
  all.chunks_again_max = std::max(all.chunks_again_max, one.tally.chunks_again / std::max<std::uint64_t>(1, one.kills));
  add(all.tally, one.tally);
  if (one.findings.empty()) return;
  ++all.failed;
  all.first_failed = std::min(told.index, all.first_failed.value_or(told.index));
  if (all.failures.size() < kFailuresKept) all.failures.push_back({plan, one.findings});
}

}  // namespace

void add(Summary& all, const Summary& more) {
  all.runs += more.runs;
  all.kills += more.kills;
  all.replayed += more.replayed;
  all.stalemates += more.stalemates;
  all.chunks_again_max = std::max(all.chunks_again_max, more.chunks_again_max);
  add(all.tally, more.tally);
  all.failures.insert(all.failures.end(), more.failures.begin(), more.failures.end());
  all.failed += more.failed;
  all.seconds += more.seconds;
}

Summary Campaign::play_all(const std::vector<Plan>& plans, bool stop_at_failure) {
  const auto begin = std::chrono::steady_clock::now();
  Queue queue;
  std::vector<Worker> workers;
  for (std::size_t i = 0; i < std::min(config_.workers, plans.size()); ++i) {
    Channel::Pair pair = Channel::make_pair();
    const pid_t process = ::fork();
    COVEY_CHECK(process >= 0);
    if (process == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const std::string folder = config_.folder + "/" + std::to_string(::getpid());
      for (std::size_t next = queue.take(); next < plans.size(); next = queue.take())
        if (!pair.there.write(encoded(next, play(scene_, table_, plans[next], folder)))) break;
      ::_exit(0);
    }
    workers.push_back({std::move(pair.here), process});
  }
  Summary all;
  std::size_t open = workers.size();
  while (open > 0) {
    std::vector<pollfd> waits;
    for (const Worker& worker : workers) waits.push_back({worker.channel.closed() ? -1 : worker.channel.number(), POLLIN, 0});
    ::poll(waits.data(), waits.size(), -1);
    open = 0;
    for (Worker& worker : workers) {
      worker.channel.pull();
      while (worker.channel.has_packet()) {
        const Told told = decoded(*worker.channel.read(0));
        include(all, plans[told.index], told);
        if (all.failed > 0 && stop_at_failure) queue.close(plans.size());
      }
      if (!worker.channel.closed()) ++open;
    }
  }
  bool sound = true;
  for (const Worker& worker : workers) {
    int status = 0;
    COVEY_CHECK(::waitpid(worker.process, &status, 0) == worker.process);
    sound = sound && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  if (!sound) {
    ++all.failed;
    all.failures.push_back({{}, {"a worker of the harness itself died"}});
  }
  std::error_code ignored;
  std::filesystem::remove_all(config_.folder, ignored);
  all.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return all;
}

Summary Campaign::run(const std::vector<Plan>& plans) { return play_all(plans, false); }
Summary Campaign::run_until_failure(const std::vector<Plan>& plans) { return play_all(plans, true); }

Campaign::Found Campaign::find_points(Victim victim) {
  constexpr std::uint64_t kLiving = 4, kDying = 16;
  Found found;
  std::vector<Plan> plans;
  for (std::uint64_t seed = 1; seed <= kLiving; ++seed) plans.push_back({.seed = seed, .victim = victim});
  clear_table();
  const auto note = [&](const Summary& summary) {
    found.summary.runs += summary.runs;
    found.summary.failed += summary.failed;
    for (const Failure& failure : summary.failures) found.summary.failures.push_back(failure);
  };
  note(run(plans));
  std::uint64_t passed = 0;
  for (const auto& [name, count] : table_.counts()) {
    found.points[name] = std::max<std::uint64_t>(1, count.hits / kLiving);
    passed += count.hits / kLiving;
  }
  plans.clear();
  for (std::uint64_t seed = 1; seed <= kDying; ++seed) {
    Random random = Random(seed).split("find");
    const char* const maker = kOrphanMakers[seed % std::size(kOrphanMakers)];
    const bool orphan = seed % 2 == 0 && found.points.contains(maker);
    Plan plan{.seed = seed, .victim = victim};
    plan.kills.push_back(orphan ? Kill{maker, 1 + random.below(found.points.at(maker))} : Kill{kAnyPoint, 1 + random.below(passed)});
    plan.kills.push_back({kAnyPoint, 1 + random.below(40)});
    plans.push_back(plan);
  }
  note(run(plans));
  for (const auto& [name, count] : table_.counts()) found.points.try_emplace(name, 0);
  clear_table();
  return found;
}

Plan plan_of(Victim victim, const std::string& point, std::uint64_t seed, const Points& points) {
  Random random = Random(seed).split("plan", number_of(point), victim == Victim::kClient ? 1 : 0);
  Plan plan{.seed = seed, .victim = victim};
  const auto usual = points.find(point);
  COVEY_CHECK(usual != points.end());
  if (usual->second > 0) {
    plan.kills.push_back({point, 1 + random.below(usual->second)});
  } else {  // passed only in a start after a death
    std::vector<std::string> makers;
    for (const char* maker : kOrphanMakers)
      if (const auto known = points.find(maker); known != points.end() && known->second > 0) makers.push_back(maker);
    COVEY_CHECK(!makers.empty());
    const std::string& maker = makers[random.below(makers.size())];
    plan.kills.push_back({maker, 1 + random.below(points.at(maker))});
    plan.kills.push_back({point, 1});
  }
  if (random.below(2) == 0) plan.kills.push_back({kAnyPoint, 1 + random.below(60)});
  if (random.below(4) == 0) plan.kills.push_back({kAnyPoint, 1 + random.below(30)});
  return plan;
}

namespace {

// Between what becomes durable and what is told: where an order that was got wrong shows.
bool between_steps(const std::string& point) {
  return point.starts_with("store.write.") || point.starts_with("executor.") || point.ends_with(".sent") ||
         point.starts_with("aggregate.");
}

}  // namespace

std::vector<Plan> mixed_plans(Victim victim, Mutant mutant, std::uint64_t first_seed, std::size_t count, const Points& points) {
  std::vector<std::string> names;
  for (const auto& [name, usual] : points)
    if (between_steps(name)) names.push_back(name);
  COVEY_CHECK(!names.empty());
  Random random = Random(first_seed).split("mixed");
  random.shuffle(std::span(names));
  std::vector<Plan> plans;
  for (std::size_t i = 0; i < count; ++i) {
    plans.push_back(plan_of(victim, names[i % names.size()], first_seed + i, points));
    plans.back().mutant = mutant;
  }
  return plans;
}

std::string flags_of(const Plan& plan) {
  std::string flags = std::string("--victim ") + name_of(plan.victim) + " --seed " + std::to_string(plan.seed);
  if (plan.mutant != Mutant::kNone) flags += std::string(" --mutant ") + name_of(plan.mutant);
  for (const Kill& kill : plan.kills) flags += " --kill '" + kill.point + ":" + std::to_string(kill.nth) + "'";
  if (plan.manners != ScriptedClient::Manners::kUnruly) flags += " (another manner of clients)";
  if (plan.replays > 0) flags += " --replays " + std::to_string(plan.replays);
  return flags;
}

}  // namespace covey::crash
