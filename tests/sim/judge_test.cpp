// The world's own checks, proved on coordinators that are spoiled on purpose.
#include "tests/sim/tiny_job.h"

using namespace covey;

namespace {

// A coordinator whose commands are changed on their way out.
class Spoiled final : public Machine {
 public:
  using Change = std::function<void(const Event& event, Instant now, Commands& commands)>;
  Spoiled(std::unique_ptr<Machine> machine, Change change) : machine_(std::move(machine)), change_(std::move(change)) {}
  Commands handle(const Event& event, Instant now) override {
    Commands commands = machine_->handle(event, now);
    change_(event, now, commands);
    return commands;
  }

 private:
  std::unique_ptr<Machine> machine_;
  Change change_;
};

auto spoil(Spoiled::Change change) {
  return [change](std::size_t node, std::unique_ptr<Machine> machine) -> std::unique_ptr<Machine> {
    if (node != 0) return machine;
    return std::make_unique<Spoiled>(std::move(machine), change);
  };
}

template <class From, class Make>
void replace_sent(Commands& commands, Make make) {
  for (Command& command : commands)
    if (auto* send = std::get_if<Send>(&command))
      if (const auto* message = std::get_if<From>(&send->message)) send->message = make(From(*message));
}

// What the world says of ten clients, two of whom lie in this way.
std::string finding(Lie lie, Spoiled::Change change) {
  TinyCampaign tiny;
  tiny.request.decorate = spoil(std::move(change));
  Scenario scenario;
  scenario.faults.liars = {{2, lie}, {7, lie}};
  scenario.faults.quiet_after = 60s;
  const auto result = replay(tiny.request, *tiny.populations, scenario);
  return result ? std::string() : result.error().message;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("judge: a coordinator that believes liars is found") {
  const auto believes = [](const Event&, Instant, Commands& commands) {
    replace_sent<UpdateRefused>(commands, [](const UpdateRefused& refused) { return UpdateAccepted{refused.key}; });
  };
  for (const Lie lie : {Lie::kNotFinite, Lie::kWrongSize, Lie::kHugeNorm, Lie::kWrongModel, Lie::kHugeExamples, Lie::kWrongRound,
                        Lie::kForeignBlob, Lie::kWrongChunks, Lie::kForged})
    CHECK_MESSAGE(has(finding(lie, believes), "that it never sent"), name_of(lie));
}

TEST_CASE("judge: a coordinator that refuses the honest is found") {
  const std::string found = finding(Lie::kHugeNorm, [](const Event&, Instant, Commands& commands) {
    replace_sent<UpdateAccepted>(commands, [](const UpdateAccepted& accepted) {
      return UpdateRefused{accepted.key, Error{ErrorCode::kInvalidUpdate, "no"}};
    });
  });
  CHECK(has(found, "was refused: no"));
}

TEST_CASE("judge: a coordinator whose memory grows with what it is sent is found") {
  int timers = 0;
  const std::string found = finding(Lie::kFlood, [&](const Event& event, Instant, Commands& commands) {
    if (std::holds_alternative<Received>(event)) commands.push_back(SetTimer{"leak/" + std::to_string(++timers), 1h});
  });
  CHECK(has(found, "its memory grows"));
}

TEST_CASE("judge: a coordinator that stands still is found") {
  const std::string found = finding(Lie::kFlood, [](const Event&, Instant, Commands& commands) {
    std::erase_if(commands, [](const Command& command) {
      const auto* work = std::get_if<StartWork>(&command);
      return work != nullptr && std::holds_alternative<Aggregate>(work->work);
    });
  });
  CHECK(has(found, "did not end within"));
}

TEST_CASE("judge: a coordinator that goes by the clock on the wall is found") {
  TinyCampaign tiny;
  const Instant begin = instant_of_nanos(1'700'000'000'000'000'000);
  tiny.request.decorate = spoil([begin](const Event& event, Instant now, Commands& commands) {
    const auto* received = std::get_if<Received>(&event);
    if (received != nullptr && now - begin > 12h) commands.push_back(Send{received->from, Ping{}});
  });
  Scenario steady;
  steady.faults.crashes = {{0, 1s, 1s}};
  Scenario jumping = steady;
  jumping.faults.clock_jumps = {{0, 500ms, 24h}};
  const auto without = replay(tiny.request, *tiny.populations, steady);
  const auto with = replay(tiny.request, *tiny.populations, jumping);
  REQUIRE((without && with));
  CHECK(with->timeline != without->timeline);
}
