// Jobs with secure aggregation in the simulated world: real cryptography in every round, and checkers that
// hold every opened sum against the plain one.
#include "sim/secure_checker.h"

#include <filesystem>

#include "privacy/attempt_book.h"

#include "sim/checker.h"
#include "tests/sim/secure_job.h"

using namespace covey;

namespace {

// Changes what a node sends.
class Rewriting final : public Machine {
 public:
  using Rewrite = std::function<void(Commands&)>;
  Rewriting(std::unique_ptr<Machine> inner, Rewrite rewrite) : inner_(std::move(inner)), rewrite_(std::move(rewrite)) {}
  Commands handle(const Event& event, Instant now) override {
    Commands commands = inner_->handle(event, now);
    rewrite_(commands);
    return commands;
  }

 private:
  std::unique_ptr<Machine> inner_;
  Rewrite rewrite_;
};

struct World10 {
  SimulationRequest request;
  std::unique_ptr<Population> population;
  World10() {
    request.job = secure_job();
    population = tiny_population(request.job, 10, 1);
  }
  Result<SimulationResult> run() { return simulate(request, *population); }
  void rewrite(std::size_t which, Rewriting::Rewrite change) {
    request.decorate = [which, change](std::size_t node, std::unique_ptr<Machine> machine) -> std::unique_ptr<Machine> {
      if (node != which) return machine;
      return std::make_unique<Rewriting>(std::move(machine), change);
    };
  }
  std::string finding() {
    const auto result = run();
    return result ? "none" : result.error().message;
  }
};

// Every message of secure aggregation in these commands that is an M.
template <class M>
void change_notes(Commands& commands, const std::function<void(M&)>& change) {
  for (Command& command : commands)
    if (auto* send = std::get_if<Send>(&command))
      if (auto* note = std::get_if<SecAggNote>(&send->message)) {
        auto message = *decode_secagg_message(note->content);
        if (auto* m = std::get_if<M>(&message)) {
          change(*m);
          note->content = encode(message);
        }
      }
}

}  // namespace

TEST_CASE("secure simulation: every sum is exact, and the same seed gives the same bits on any number of threads") {
  World10 world;
  const auto one = world.run();
  REQUIRE_MESSAGE(one.has_value(), (one ? "" : one.error().message));
  CHECK(one->opened == 4);  // three rounds and the last evaluation
  CHECK_FALSE(one->stalemate);
  CHECK(one->detail.summary.state == JobState::kFinished);
  for (const RoundMetrics& metrics : one->detail.metrics) CHECK(metrics.delivered == 10);
  world.request.threads = 3;
  const auto three = world.run();
  REQUIRE(three.has_value());
  CHECK(three->trace == one->trace);
  world.request.seed = 2;
  const auto other = world.run();
  REQUIRE(other.has_value());
  CHECK(other->trace != one->trace);
}

TEST_CASE("secure simulation: training reaches what plain aggregation reaches") {
  World10 secure, plain;
  plain.request.job.privacy.secure_aggregation = false;
  const auto masked = secure.run();
  const auto open = plain.run();
  REQUIRE(masked.has_value());
  REQUIRE(open.has_value());
  REQUIRE(masked->parameters.size() == open->parameters.size());
  for (std::size_t i = 0; i < open->parameters.size(); ++i)
    CHECK(masked->parameters[i] == doctest::Approx(open->parameters[i]).epsilon(1e-4));
}

TEST_CASE("secure simulation: a coordinator killed in any of its writes continues or aborts cleanly") {
  std::size_t opened = 0;
  for (std::uint64_t nth = 1; nth <= 110; ++nth) {
    CAPTURE(nth);
    World10 world;
    world.request.faults.write_crashes = {{0, nth, 3s}};
    world.request.horizon = 1h;
    const auto result = world.run();
    REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
    CHECK_FALSE(result->stalemate);
    opened += result->opened;
  }
  CHECK(opened >= 4 * 110);
}

TEST_CASE("secure simulation: a client killed in any of its writes costs nobody else the sum") {
  for (std::uint64_t nth = 1; nth <= 25; ++nth) {
    CAPTURE(nth);
    World10 world;
    world.request.faults.write_crashes = {{4, nth, 3s}};
    world.request.horizon = 1h;
    const auto result = world.run();
    REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
    CHECK_FALSE(result->stalemate);
  }
}

TEST_CASE("secure simulation: dozens of seeds of every fault break no promise") {
  TinyCampaign campaign;
  campaign.request.job = secure_job();
  campaign.request.seeds = 60;
  campaign.request.threads = 2;
  const Campaign done = campaign.run();
  INFO(campaign.failures(done));
  CHECK(done.failures.empty());
  CHECK(done.opened > 100);
  CHECK(done.stalemates.size() <= 1);  // the protocol forbids few ends: docs/secure_aggregation.md
}

TEST_CASE("secure simulation: scenarios that once bound members for good end well") {
  TinyCampaign tiny;
  tiny.request.job = secure_job();
  std::size_t plans = 0;
  for (const auto& entry : std::filesystem::directory_iterator(COVEY_SOURCE_DIR "/tests/sim/plans/secure")) {
    ++plans;
    INFO(entry.path().string());
    const auto text = read_file(entry.path().string(), kPlanBytesMax);
    REQUIRE(text.has_value());
    const auto scenario = scenario_from(text_of(*text));
    REQUIRE_MESSAGE(scenario.has_value(), (scenario ? std::string() : scenario.error().message));
    CHECK(scenario->faults.size() > 0);
    const auto result = replay(tiny.request, *tiny.populations, *scenario);
    REQUIRE_MESSAGE(result.has_value(), (result ? std::string() : result.error().message));
    CHECK_FALSE(result->stalemate);
  }
  CHECK(plans >= 9);
}

TEST_CASE("secure checker: a vote for ABORT that leaves after shares is found, and shares after it") {
  World10 world;
  // One of the clients says at once what it would never sign.
  world.rewrite(1, [](Commands& commands) {
    Commands more;
    for (const Command& command : commands)
      if (const auto* send = std::get_if<Send>(&command))
        if (const auto* note = std::get_if<SecAggNote>(&send->message)) {
          const auto said = *decode_secagg_message(note->content);
          if (const auto* unmask = std::get_if<UnmaskMessage>(&said)) {
            const VoteMessage vote{unmask->id, Verdict::kAbort, unmask->member, {}};
            more.push_back(Send{send->to, SecAggNote{note->key, encode(SecAggMessage(vote))}});
          }
        }
    for (Command& command : more) commands.push_back(std::move(command));
  });
  CHECK(world.finding().find("a vote of client") != std::string::npos);  // its record says that the shares are out
}

TEST_CASE("secure checker: shares that leave twice and differ are found") {
  World10 world;
  auto said = std::make_shared<int>(0);
  world.rewrite(1, [said](Commands& commands) {
    const Commands before = commands;
    for (const Command& command : before)
      if (const auto* send = std::get_if<Send>(&command))
        if (const auto* note = std::get_if<SecAggNote>(&send->message))
          if (std::holds_alternative<UnmaskMessage>(*decode_secagg_message(note->content))) commands.push_back(command);
    change_notes<UnmaskMessage>(commands, [said](UnmaskMessage& m) {
      if ((*said)++ == 1) m.shares[0].value.bytes[0] ^= 1;
    });
  });
  CHECK(world.finding().find("left twice, and differ") != std::string::npos);
}

TEST_CASE("secure checker: shares of both secrets of one member are found, whoever they leave") {
  World10 world;
  world.rewrite(1, [](Commands& commands) {
    change_notes<UnmaskMessage>(commands, [](UnmaskMessage& m) { m.shares[2].kind = ShareKind::kMaskingKey; });
  });
  CHECK(world.finding().find("shares of both secrets") != std::string::npos);
}

TEST_CASE("secure checker: a vote or vectors that leave before their record is durable are found") {
  World10 world;
  const auto without_writes = [](std::string_view what) {
    return [what](Commands& commands) {  // the write is lost, and answered all the same
      for (Command& command : commands)
        if (auto* persist = std::get_if<Persist>(&command))
          std::erase_if(persist->batch.puts, [&](const Put& put) {
            if (!put.key.starts_with(kAttemptPrefix)) return false;
            const auto state = decode_attempt_record(put.value)->state;
            return what == "vote" ? state == AttemptState::kVotedCommit : state == AttemptState::kMasked;
          });
    };
  };
  world.rewrite(1, without_writes("vote"));
  CHECK(world.finding().find("a vote of client") != std::string::npos);
  world.rewrite(1, without_writes("vectors"));
  CHECK(world.finding().find("a masked vector left before") != std::string::npos);
}

TEST_CASE("secure checker: an opened sum that is not the plain one is found") {
  World10 world;
  world.rewrite(0, [](Commands& commands) {
    for (Command& command : commands)
      if (auto* start = std::get_if<StartWork>(&command))
        if (auto* work = std::get_if<Unmask>(&start->work)) work->job.server.learning_rate = 0.5;
  });
  CHECK(world.finding() == "none");  // the checker steps as the work says
  world.rewrite(0, [](Commands& commands) {
    for (Command& command : commands)
      if (auto* start = std::get_if<StartWork>(&command))
        if (auto* work = std::get_if<Unmask>(&start->work)) work->vectors.back() = work->vectors.front();
  });
  CHECK(world.finding().find("counted twice") != std::string::npos);
}
