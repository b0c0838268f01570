#include "sim/fault_plan.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::array<const char*, kLies> kLieNames{"not_finite",    "wrong_size",  "huge_norm",    "wrong_model",
                                                   "huge_examples", "no_examples", "wrong_round",  "foreign_blob",
                                                   "never_serves",  "wrong_chunks", "flood",       "forged",
                                                   "wrong_deal",    "wrong_shares", "noise"};
constexpr std::array<const char*, 5> kActNames{"submit", "stop", "revoke", "enrol", "submit_other"};
constexpr std::size_t kFaultsMax = 10'000;
constexpr Duration kLatest = std::chrono::hours(24 * 365);

Duration between(Random& random, Duration low, Duration high) {
  return low + from_seconds(random.uniform() * seconds(high - low));
}

template <class T, std::size_t N>
Result<T> from_name(std::string_view what, std::string_view name, const std::array<const char*, N>& names) {
  std::string all;
  for (std::size_t i = 0; i < N; ++i) {
    if (name == names[i]) return static_cast<T>(i);
    all += (i == 0 ? "" : ", ") + std::string(names[i]);
  }
  return bad_setting(what, setting_text(name), "must be one of " + all);
}

struct When {
  std::vector<Duration> times;
};
When when(const Crash& fault) { return {{fault.at, fault.down}}; }
When when(const WriteCrash& fault) { return {{fault.down}}; }
When when(const Partition& fault) { return {{fault.from, fault.to}}; }
When when(const DiskFull& fault) { return {{fault.from, fault.to}}; }
When when(const ClockJump& fault) { return {{fault.at}}; }
When when(const SlowPeer&) { return {}; }
When when(const LateFrames& fault) { return {{fault.from, fault.to, fault.hold}}; }
When when(const Liar&) { return {}; }
When when(const OperatorAct& fault) { return {{fault.at}}; }

Duration ends(const Crash& fault) { return fault.at + fault.down; }
Duration ends(const WriteCrash& fault) { return fault.down; }
Duration ends(const Partition& fault) { return fault.to; }
Duration ends(const DiskFull& fault) { return fault.to; }
Duration ends(const ClockJump& fault) { return fault.at; }
Duration ends(const SlowPeer&) { return {}; }
Duration ends(const LateFrames& fault) { return fault.to + fault.hold; }
Duration ends(const Liar&) { return {}; }
Duration ends(const OperatorAct& fault) { return fault.at; }

template <class Fault>
std::size_t highest_node(const Fault& fault) {
  return fault.node;
}
std::size_t highest_node(const Partition& fault) {
  return fault.cut.empty() ? 0 : *std::max_element(fault.cut.begin(), fault.cut.end());
}
std::size_t highest_node(const OperatorAct& fault) {
  return fault.act == Act::kRevoke || fault.act == Act::kEnrol ? fault.target : 0;
}

Result<void> check_peers(const FaultPlan& plan) {
  for (const SlowPeer& slow : plan.slow_peers) {
    if (slow.node == 0) return bad_setting("slow_peer.node", "0", "is the coordinator; slow clients are numbered from 1");
    COVEY_TRY_VOID(setting_within("slow_peer.bytes_per_second", slow.bytes_per_second, 1.0, 1e12));
    COVEY_TRY_VOID(setting_within("slow_peer.work", slow.work, 1e-3, 1e6));
  }
  for (const LateFrames& late : plan.late_frames) COVEY_TRY_VOID(setting_within("late_frames.share", late.share, 0.0, 1.0));
  for (const Liar& liar : plan.liars)
    if (liar.node == 0) return bad_setting("liar.node", "0", "is the coordinator; lying clients are numbered from 1");
  for (const OperatorAct& act : plan.acts)
    if (act.target == 0 && act.act != Act::kSubmit && act.act != Act::kSubmitOther)
      return bad_setting("act.target", "0", std::string("of ") + name_of(act.act) + ": jobs and clients are numbered from 1");
  return {};
}

}  // namespace

const char* name_of(Lie lie) { return kLieNames.at(static_cast<std::size_t>(lie)); }
Result<Lie> lie_from(std::string_view name) { return from_name<Lie>("liar.lie", name, kLieNames); }
const char* name_of(Act act) { return kActNames.at(static_cast<std::size_t>(act)); }
Result<Act> act_from(std::string_view name) { return from_name<Act>("act.act", name, kActNames); }

std::size_t FaultPlan::size() const {
  std::size_t faults = (network.loss > 0 ? 1U : 0U) + (network.duplicate > 0 ? 1U : 0U);
  each_list(*this, [&](const auto& list) { faults += list.size(); });
  return faults;
}

Duration FaultPlan::last() const {
  Duration latest = quiet_after == Duration::max() ? Duration{} : quiet_after;
  each_list(*this, [&](const auto& list) {
    for (const auto& fault : list) latest = std::max(latest, ends(fault));
  });
  return latest;
}

Result<void> validate(const FaultPlan& plan, std::size_t clients) {
  COVEY_TRY_VOID(setting_within("network.loss", plan.network.loss, 0.0, 0.9));
  COVEY_TRY_VOID(setting_within("network.duplicate", plan.network.duplicate, 0.0, 0.9));
  COVEY_TRY_VOID(setting_within("network.bytes_per_second", plan.network.bytes_per_second, 1.0, 1e12));
  if (plan.network.delay < Duration{} || plan.network.jitter < Duration{})
    return unexpected(ErrorCode::kInvalidArgument, "network.delay_s and network.jitter_s must not be below 0");
  if (plan.size() > kFaultsMax)
    return unexpected(ErrorCode::kInvalidArgument, std::to_string(plan.size()) + " faults; at most " + std::to_string(kFaultsMax));
  std::size_t node = 0;
  bool timely = true;
  FaultPlan::each_list(plan, [&](const auto& list) {
    for (const auto& fault : list) {
      node = std::max(node, highest_node(fault));
      for (const Duration time : when(fault).times) timely = timely && time >= Duration{} && time <= kLatest;
    }
  });
  if (node > clients)
    return unexpected(ErrorCode::kInvalidArgument, "a fault of node " + std::to_string(node) + ", but there are " +
                                                       std::to_string(clients) + " clients; raise clients or drop the fault");
  for (const ClockJump& jump : plan.clock_jumps) timely = timely && jump.by <= kLatest && jump.by >= -kLatest;
  if (!timely) return unexpected(ErrorCode::kInvalidArgument, "a fault's times must lie between 0 and a year");
  return check_peers(plan);
}

// ---- random plans
namespace {

void draw_crashes(FaultPlan& plan, std::size_t clients, Duration horizon, Random& random) {
  const std::uint64_t crashes = random.below(5);
  for (std::uint64_t i = 0; i < crashes; ++i) {
    // The coordinator is one of many nodes but the one whose crash says most.
    const std::size_t node = random.below(2) == 0 ? 0 : 1 + static_cast<std::size_t>(random.below(clients));
    plan.crashes.push_back({node, between(random, 0s, horizon), between(random, 10ms, 15s)});
  }
  const std::uint64_t write_crashes = random.below(6);
  for (std::uint64_t i = 0; i < write_crashes; ++i) {
    const std::size_t node = random.below(4) != 0 ? 0 : 1 + static_cast<std::size_t>(random.below(clients));
    const std::uint64_t within = node == 0 ? 20 + 8 * clients : 8;  // about as many as it writes in a small job
    plan.write_crashes.push_back({node, 1 + random.below(within), between(random, 10ms, 15s)});
  }
}

void draw_partitions(FaultPlan& plan, std::size_t clients, Duration horizon, Random& random) {
  const std::uint64_t partitions = random.below(3);
  for (std::uint64_t i = 0; i < partitions; ++i) {
    Partition partition;
    partition.from = between(random, 0s, horizon);
    partition.to = partition.from + between(random, 100ms, 40s);
    for (std::size_t node = 1; node <= clients; ++node)
      if (random.below(3) == 0) partition.cut.push_back(node);
    plan.partitions.push_back(std::move(partition));
  }
}

// Disks, clocks, slow links and late frames: the machines' own troubles.
void draw_machines(FaultPlan& plan, std::size_t clients, Duration horizon, Random random) {
  const auto any_node = [&] { return random.below(2) == 0 ? 0 : 1 + static_cast<std::size_t>(random.below(clients)); };
  const auto client = [&] { return 1 + static_cast<std::size_t>(random.below(clients)); };
  if (random.below(3) == 0) {
    const Duration from = between(random, 0s, horizon);
    plan.full_disks.push_back({any_node(), from, from + between(random, 100ms, 20s), random.below(2) == 0});
  }
  const std::uint64_t jumps = random.below(3);
  for (std::uint64_t i = 0; i < jumps; ++i) {
    const std::size_t node = any_node();
    const Duration at = between(random, 0s, horizon);
    plan.clock_jumps.push_back({node, at, between(random, -24h, 24h)});
    if (random.below(2) == 0) plan.crashes.push_back({node, at + between(random, 0s, 5s), between(random, 10ms, 2s)});
  }
  if (random.below(3) == 0)
    plan.slow_peers.push_back({client(), 2000.0 * std::exp(4 * random.uniform()), std::exp(4.6 * random.uniform())});
  if (random.below(4) == 0) {
    const Duration from = between(random, 0s, horizon);
    plan.late_frames.push_back({any_node(), from, from + between(random, 1s, 20s), between(random, 30s, 300s), random.uniform()});
  }
}

// At most a fifth of the clients lies and a fifth is revoked, so that an honest quorum stays.
void draw_people(FaultPlan& plan, std::size_t clients, Duration horizon, Random random) {
  const std::size_t few = clients / 5;
  std::vector<std::size_t> numbers(clients);
  for (std::size_t i = 0; i < clients; ++i) numbers[i] = i + 1;
  random.shuffle(std::span(numbers));
  std::size_t next = 0;
  const auto some = [&](std::size_t most) { return random.below(2) == 0 ? 0 : static_cast<std::size_t>(random.below(most + 1)); };
  for (std::size_t left = some(few); left > 0; --left)
    plan.liars.push_back({numbers[next++], static_cast<Lie>(random.below(kLies))});
  for (std::size_t left = some(few); left > 0; --left)
    plan.acts.push_back({Act::kRevoke, between(random, 0s, horizon), static_cast<std::uint32_t>(numbers[next++])});
  for (std::size_t left = some(few); left > 0; --left)
    plan.acts.push_back({Act::kEnrol, between(random, 0s, horizon), static_cast<std::uint32_t>(numbers[next++])});
  const std::uint64_t more = random.below(4) == 0 ? 1 + random.below(2) : 0;
  for (std::uint64_t i = 0; i < more; ++i) plan.acts.push_back({Act::kSubmit, between(random, 0s, horizon / 2), 0});
  if (random.below(8) == 0)
    plan.acts.push_back({Act::kStop, between(random, 0s, horizon), static_cast<std::uint32_t>(1 + random.below(1 + more))});
}

}  // namespace

FaultPlan random_faults(std::size_t clients, Duration horizon, Random random) {
  FaultPlan plan;
  plan.quiet_after = horizon;
  plan.network.loss = random.uniform() * 0.15;
  plan.network.duplicate = random.uniform() * 0.15;
  plan.network.jitter = between(random, 0ms, 400ms);
  draw_crashes(plan, clients, horizon, random);
  draw_partitions(plan, clients, horizon, random);
  draw_machines(plan, clients, horizon, random.split("machines"));
  draw_people(plan, clients, horizon, random.split("people"));
  return plan;
}

void mix_jobs(FaultPlan& plan, Duration horizon, Random random) {
  if (random.below(2) == 0) return;
  const std::uint64_t others = 1 + random.below(2);
  for (std::uint64_t i = 0; i < others; ++i) plan.acts.push_back({Act::kSubmitOther, between(random, 0s, horizon / 2), 0});
}

}  // namespace covey
