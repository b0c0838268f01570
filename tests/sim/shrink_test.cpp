// The shrinker, proved on worlds whose coordinator is spoiled on purpose.
#include "sim/shrink.h"

#include "tests/sim/tiny_job.h"

using namespace covey;

namespace {

// After its first restart (it asks clients to rejoin) it acknowledges every update at once, durable or not.
class HastyAfterRestart final : public Machine {
 public:
  explicit HastyAfterRestart(std::unique_ptr<Machine> machine) : machine_(std::move(machine)) {}
  Commands handle(const Event& event, Instant now) override {
    Commands commands = machine_->handle(event, now);
    for (const Command& command : commands)
      if (const auto* send = std::get_if<Send>(&command)) hasty_ = hasty_ || std::holds_alternative<RejoinRequired>(send->message);
    const auto* received = std::get_if<Received>(&event);
    const auto* ready = received == nullptr ? nullptr : std::get_if<UpdateReady>(&received->message);
    if (hasty_ && ready != nullptr && ready->update) commands.push_back(Send{received->from, UpdateAccepted{ready->key}});
    return commands;
  }

 private:
  std::unique_ptr<Machine> machine_;
  bool hasty_ = false;
};

// What arrives twice counts twice.
class CountsTwice final : public Machine {
 public:
  explicit CountsTwice(std::unique_ptr<Machine> machine) : machine_(std::move(machine)) {}
  Commands handle(const Event& event, Instant now) override {
    if (const auto* received = std::get_if<Received>(&event))
      if (const auto* ready = std::get_if<UpdateReady>(&received->message); ready != nullptr && ready->update) ++heard_[*ready->update];
    Commands commands = machine_->handle(event, now);
    for (Command& command : commands) {
      auto* start = std::get_if<StartWork>(&command);
      auto* sum = start == nullptr ? nullptr : std::get_if<Aggregate>(&start->work);
      if (sum == nullptr) continue;
      const auto once = sum->contributions;
      for (const Contribution& part : once)
        if (heard_[part.update] > 1) sum->contributions.push_back(part);
    }
    return commands;
  }

 private:
  std::unique_ptr<Machine> machine_;
  std::map<BlobRef, int> heard_;
};

template <class Mutant>
std::unique_ptr<Machine> spoil(std::size_t node, std::unique_ptr<Machine> machine) {
  if (node != 0) return machine;
  return std::make_unique<Mutant>(std::move(machine));
}

template <class Mutant>
void shrinks_to_two_faults() {
  TinyCampaign tiny;
  tiny.request.seeds = 40;
  tiny.request.decorate = spoil<Mutant>;
  const Campaign campaign = tiny.run();
  REQUIRE(campaign.failures.size() >= 5);
  for (std::size_t i = 0; i < 3; ++i) {
    const auto& [seed, finding] = campaign.failures[i];
    const Scenario failing = scenario_of_seed(tiny.request, seed, 10);
    const Shrunk shrunk = shrink_seed(tiny.request, *tiny.populations, failing);
    INFO("seed " << seed << ", " << failing.faults.size() << " faults, became\n" << to_toml(shrunk.scenario));
    CHECK(failing.faults.size() > 2);
    CHECK(shrunk.scenario.faults.size() >= 1);
    CHECK(shrunk.scenario.faults.size() <= 2);
    CHECK(kind_of_finding(shrunk.scenario.finding) == kind_of_finding(finding));

    const auto stored = scenario_from(to_toml(shrunk.scenario));
    REQUIRE(stored.has_value());
    CHECK(*stored == shrunk.scenario);
    const auto again = replay(tiny.request, *tiny.populations, *stored);
    REQUIRE_FALSE(again.has_value());
    CHECK(again.error().message == shrunk.scenario.finding);
    CampaignRequest sound = tiny.request;
    sound.decorate = nullptr;
    CHECK(replay(sound, *tiny.populations, *stored).has_value());  // it is the mutant that fails
  }
}

}  // namespace

TEST_CASE("shrink: an acknowledgement too early after a restart becomes a plan of at most two faults") {
  shrinks_to_two_faults<HastyAfterRestart>();
}

TEST_CASE("shrink: an update counted twice becomes a plan of at most two faults") { shrinks_to_two_faults<CountsTwice>(); }

TEST_CASE("shrink: it keeps exactly what the verdict needs, and no more runs than allowed") {
  Scenario failing;
  failing.clients = 10;
  failing.rounds = 8;
  failing.faults.network.loss = 0.1;
  for (std::size_t i = 0; i < 40; ++i) failing.faults.crashes.push_back({i % 11, from_seconds(static_cast<double>(i)), 1s});
  failing.faults.partitions = {{1s, 2s, {1, 2, 3}}};
  const auto crashed = [](const Scenario& s, std::size_t node) {
    return std::any_of(s.faults.crashes.begin(), s.faults.crashes.end(), [&](const Crash& c) { return c.node == node; });
  };
  const Judgement needs_two = [&](const Scenario& s) -> std::optional<std::string> {
    if (crashed(s, 0) && crashed(s, 4) && s.rounds >= 3) return "client 12 was counted twice in round 7";
    if (s.faults.crashes.empty()) return "something else";
    return std::nullopt;
  };
  const Shrunk shrunk = shrink(failing, needs_two, 1000);
  CHECK(shrunk.scenario.faults.size() == 2);
  CHECK(shrunk.scenario.faults.crashes.size() == 2);
  CHECK(shrunk.scenario.clients == 4);
  CHECK(shrunk.scenario.rounds == 3);
  CHECK(shrink(failing, needs_two, 5).runs <= 5);
}

TEST_CASE("shrink: findings of one kind differ only in numbers, keys and names") {
  CHECK(kind_of_finding("the update of client 8ac8f9ced38e in job 1 round 2") == kind_of_finding("the update of client 75c4b77b3359 in job 2 round 13"));
  CHECK(kind_of_finding("the job ended failed") != kind_of_finding("the job ended stopped"));
}
