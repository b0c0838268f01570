// Members that lie within secure aggregation, as the fault plans have them: what that costs, and that believing them, or
// forgetting what they did, is found.
#include "sim/checker.h"
#include "tests/sim/secure_job.h"

using namespace covey;

namespace {

constexpr std::size_t kLiar = 4;

// A coordinator whose events and commands are changed on their way.
class Spoiled final : public Machine {
 public:
  struct Change {
    std::function<void(Event&)> event = [](Event&) {};
    std::function<void(Commands&)> commands = [](Commands&) {};
  };
  Spoiled(std::unique_ptr<Machine> machine, Change change) : machine_(std::move(machine)), change_(std::move(change)) {}
  Commands handle(const Event& event, Instant now) override {
    Event changed = event;
    change_.event(changed);
    Commands commands = machine_->handle(changed, now);
    change_.commands(commands);
    return commands;
  }

 private:
  std::unique_ptr<Machine> machine_;
  Change change_;
};

struct Lying {
  SimulationRequest request;
  std::unique_ptr<Population> population;
  explicit Lying(Lie lie, std::uint64_t seed, std::uint32_t rounds = 8) {
    request.job = secure_job();
    request.job.rounds = rounds;
    request.seed = seed;
    request.faults.liars = {{kLiar, lie}};
    request.horizon = 12h;
    population = tiny_population(request.job, 10, 1);
  }
  void spoil(const Spoiled::Change& change) {
    request.decorate = [change](std::size_t node, std::unique_ptr<Machine> machine) -> std::unique_ptr<Machine> {
      if (node != 0) return machine;
      return std::make_unique<Spoiled>(std::move(machine), change);
    };
  }
  Result<SimulationResult> run() { return simulate(request, *population); }
};

std::vector<std::uint32_t> delivered(const SimulationResult& result, std::uint32_t rounds) {
  std::vector<std::uint32_t> counts;
  for (const RoundMetrics& metrics : result.detail.metrics)
    if (metrics.round <= rounds) counts.push_back(metrics.delivered);
  return counts;
}

Unmasked* unmasked_in(Event& event) {
  auto* done = std::get_if<WorkDone>(&event);
  return done == nullptr ? nullptr : std::get_if<Unmasked>(&done->value);
}

}  // namespace

TEST_CASE("lying members: a wrong commitment or wrong shares cost no sum, and their member is asked once") {
  for (const Lie lie : {Lie::kWrongDeal, Lie::kWrongShares})
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      CAPTURE(name_of(lie));
      CAPTURE(seed);
      const auto result = Lying(lie, seed, 4).run();
      REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
      CHECK(result->opened == 5);
      CHECK(delivered(*result, 4) == std::vector<std::uint32_t>{10, 9, 9, 9});
    }
}

TEST_CASE("lying members: noise in every round costs a few rounds, and then its member alone sits out") {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    CAPTURE(seed);
    const auto result = Lying(Lie::kNoise, seed, 30).run();
    REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
    const auto counts = delivered(*result, 30);
    REQUIRE(counts.size() == 30);
    const auto lost = std::count(counts.begin(), counts.end(), 0U);
    CHECK(lost >= 2);
    CHECK(lost <= 5);
    CHECK(counts.back() == 9);
  }
}

TEST_CASE("lying members: a coordinator that forgets who lied goes on asking it") {
  for (const Lie lie : {Lie::kWrongDeal, Lie::kWrongShares}) {
    Lying lying(lie, 1, 4);
    lying.spoil({.event = [](Event& event) {
      if (Unmasked* value = unmasked_in(event)) value->liars.clear();
    }});
    const auto result = lying.run();
    REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
    CHECK(delivered(*result, 4) == std::vector<std::uint32_t>{10, 10, 10, 10});
  }
}

TEST_CASE("lying members: a coordinator whose suspicion is lost with each round loses every one of them") {
  Lying lying(Lie::kNoise, 1, 6);
  // Some member is proven a liar, it believes each time, so that nobody is only suspected; a member that does not exist.
  lying.spoil({.event = [](Event& event) {
    if (Unmasked* value = unmasked_in(event); value != nullptr && !value->closed.empty()) value->liars.emplace_back(9999, "lied");
  }});
  const auto result = lying.run();
  REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
  CHECK(delivered(*result, 6) == std::vector<std::uint32_t>(6, 0));
}

TEST_CASE("lying members: a coordinator that commits a sum which nobody opened is found") {
  Lying lying(Lie::kNoise, 1, 3);
  const auto model = std::make_shared<BlobRef>();  // shared: by both functions
  lying.spoil({.event = [model](Event& event) {
                 Unmasked* const value = unmasked_in(event);
                 if (value == nullptr || value->closed.empty()) return;
                 *value = Unmasked{};
                 value->examples = 10;
                 value->aggregated = Aggregated{*model, std::nullopt, 0};
               },
               .commands = [model](Commands& commands) {
                 for (const Command& command : commands)
                   if (const auto* start = std::get_if<StartWork>(&command))
                     if (const auto* unmask = std::get_if<Unmask>(&start->work)) *model = unmask->model;
               }});
  const auto result = lying.run();
  REQUIRE_FALSE(result.has_value());
  CHECK_MESSAGE(result.error().message.find("opened") != std::string::npos, result.error().message);
}
