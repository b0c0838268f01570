#include "sim/shrink.h"

#include <algorithm>
#include <cctype>
#include <type_traits>

#include "core/base/check.h"

namespace covey {
namespace {

constexpr std::uint64_t kOtherSeeds = 7;

// The faults in the lists, counted through all of them.
std::size_t listed(const FaultPlan& plan) {
  std::size_t count = 0;
  FaultPlan::each_list(plan, [&](const auto& list) { count += list.size(); });
  return count;
}

FaultPlan without(FaultPlan plan, std::size_t begin, std::size_t end) {
  std::size_t at = 0;
  FaultPlan::each_list(plan, [&](auto& list) {
    std::erase_if(list, [&](const auto&) {
      const bool gone = at >= begin && at < end;
      ++at;
      return gone;
    });
  });
  return plan;
}

template <class Fault>
bool concerns(const Fault& fault, std::size_t above) { return fault.node > above; }
bool concerns(const OperatorAct& act, std::size_t above) {
  return (act.act == Act::kRevoke || act.act == Act::kEnrol) && act.target > above;
}

// Without the clients above `clients`, and their faults.
Scenario with_clients(Scenario scenario, std::uint32_t clients) {
  scenario.clients = clients;
  FaultPlan::each_list(scenario.faults, [&](auto& list) {
    using Fault = typename std::decay_t<decltype(list)>::value_type;
    if constexpr (std::is_same_v<Fault, Partition>) {
      for (Partition& partition : list) std::erase_if(partition.cut, [&](std::size_t node) { return node > clients; });
    } else {
      std::erase_if(list, [&](const Fault& fault) { return concerns(fault, clients); });
    }
  });
  return scenario;
}

NetworkModel quiet_network() {
  NetworkModel network;
  network.jitter = Duration{};
  return network;
}

class Shrinker {
 public:
  Shrinker(Scenario failing, const Judgement& verdict, std::size_t runs_max)
      : best_(std::move(failing)), verdict_(verdict), runs_max_(runs_max) {
    const auto finding = run(best_);
    COVEY_CHECK(finding.has_value());
    best_.finding = *finding;
    kind_ = kind_of_finding(*finding);
  }

  Shrunk result() {
    alone();
    bool smaller = true;
    while (smaller && runs_ < runs_max_) {
      smaller = drop_faults();
      smaller = quieten() || smaller;
      smaller = fewer_clients() || smaller;
      smaller = fewer_rounds() || smaller;
      smaller = thin_partitions() || smaller;
    }
    return {best_, runs_};
  }

 private:
  std::optional<std::string> run(const Scenario& scenario) {
    ++runs_;
    return verdict_(scenario);
  }

  // A smaller scenario may need another seed to go wrong: some are tried before it is given up.
  bool take(const Scenario& candidate) {
    for (std::uint64_t other = 0; other <= kOtherSeeds; ++other) {
      Scenario again = candidate;
      again.finding = best_.finding;
      if (runs_ >= runs_max_ || again == best_) return false;
      again.seed += other;
      const auto finding = run(again);
      if (!finding || kind_of_finding(*finding) != kind_) continue;
      again.finding = *finding;
      best_ = std::move(again);
      return true;
    }
    return false;
  }

  // Often one fault is enough, on a network without any.
  void alone() {
    const std::size_t count = listed(best_.faults);
    for (std::size_t i = 0; i < count; ++i) {
      Scenario candidate = best_;
      candidate.faults = without(without(best_.faults, i + 1, count), 0, i);
      candidate.faults.network = quiet_network();
      if (take(candidate)) return;
    }
  }

  // By halves, quarters, ... and at last one by one.
  bool drop_faults() {
    bool smaller = false;
    for (std::size_t size = std::max<std::size_t>(1, listed(best_.faults)); size >= 1; size /= 2) {
      for (std::size_t at = 0; at < listed(best_.faults);) {
        Scenario candidate = best_;
        candidate.faults = without(best_.faults, at, at + size);
        if (take(candidate))
          smaller = true;
        else
          at += size;
      }
    }
    return smaller;
  }

  template <class Change>
  bool change(Change change_one) {
    Scenario candidate = best_;
    change_one(candidate);
    return take(candidate);
  }

  bool quieten() {
    bool smaller = change([](Scenario& s) { s.faults.network = quiet_network(); });
    smaller = change([](Scenario& s) { s.faults.network.loss = 0; }) || smaller;
    smaller = change([](Scenario& s) { s.faults.network.duplicate = 0; }) || smaller;
    smaller = change([](Scenario& s) { s.faults.network.jitter = Duration{}; }) || smaller;
    return change([](Scenario& s) { s.faults.quiet_after = Duration{}; }) || smaller;
  }

  bool fewer_clients() {
    bool smaller = false;
    for (std::uint32_t gone = best_.clients / 2; gone >= 1; gone /= 2)
      while (best_.clients > gone && take(with_clients(best_, best_.clients - gone))) smaller = true;
    return smaller;
  }

  bool fewer_rounds() {
    bool smaller = false;
    while (best_.rounds > 1 && change([](Scenario& s) { s.rounds /= 2; })) smaller = true;
    while (best_.rounds > 1 && change([](Scenario& s) { --s.rounds; })) smaller = true;
    return smaller;
  }

  bool thin_partitions() {
    bool smaller = false;
    for (std::size_t i = 0; i < best_.faults.partitions.size(); ++i)
      for (std::size_t at = 0; at < best_.faults.partitions[i].cut.size();) {
        const bool gone = change([&](Scenario& s) {
          auto& cut = s.faults.partitions[i].cut;
          cut.erase(cut.begin() + static_cast<std::ptrdiff_t>(at));
        });
        smaller = smaller || gone;
        if (!gone) ++at;
      }
    return smaller;
  }

  Scenario best_;
  const Judgement& verdict_;
  std::size_t runs_max_;
  std::size_t runs_ = 0;
  std::string kind_;
};

}  // namespace

std::string kind_of_finding(const std::string& finding) {
  std::string kind;
  std::string word;
  const auto flush = [&] {
    const bool varies = std::any_of(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c) != 0; }) ||
                        (word.size() >= 12 && word.find_first_not_of("0123456789abcdef") == std::string::npos);
    kind += varies ? "#" : word;
    word.clear();
  };
  for (const char c : finding) {
    if (c != ' ') {
      word += c;
      continue;
    }
    flush();
    kind += c;
  }
  flush();
  return kind;
}

Shrunk shrink(Scenario failing, const Judgement& verdict, std::size_t runs_max) {
  return Shrinker(std::move(failing), verdict, runs_max).result();
}

}  // namespace covey
