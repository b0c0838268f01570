// Secure rounds and a coordinator that dies at any moment: what was released is the sum of what its members
// encoded, once, or nothing was.
#include "tests/coordinator/chains.h"
#include "tests/coordinator/secure_play.h"

namespace covey {
namespace {

struct Crashed {
  SecurePlay play{5};
  std::vector<float> model, expected;
  std::uint64_t events = 0;

  explicit Crashed(const std::string& more = "deadline_s = 60\n[selection]\nmin_clients = 5\n") {
    play.begin(secure_job(more));
    model = play.d.latest_model();
    play.hold = [this](std::uint8_t, const Message& message) {
      const auto* offer = std::get_if<RoundOffer>(&message);
      if (offer != nullptr && offer->key.round == 2 && expected.empty()) expected = play.expected(play.all_but({}), model);
      return false;
    };
  }
  void run() {
    const std::uint64_t before = play.d.handled;
    play.finish(200);
    events = play.d.handled - before;
  }
  void check() {
    REQUIRE(play.d.alive());
    // The final evaluation may have been given up before its first offer arrived.
    if (expected.empty()) expected = play.expected(play.all_but({}), model);
    const JobSummary summary = play.d.job();
    CHECK_MESSAGE(summary.state == JobState::kFinished, summary.text);
    CHECK(summary.round == 1);
    CHECK(play.d.latest_model() == expected);
    const Chains chains = chains_of(play.d);
    const auto released = chains.of(AuditKind::kReleased);
    REQUIRE(released.size() <= 2);
    for (const char* table : {"unmask/", "round/", "update/"}) CHECK(play.d.store.scan(table).value().empty());
  }
};

}  // namespace

TEST_CASE("secure restart: a crash at any event of a round, and the model is the exact mean all the same") {
  Crashed calm;
  calm.run();
  calm.check();
  REQUIRE(calm.events > 60);
  std::size_t same_attempt = 0, other_attempt = 0;
  for (const Crash how : {Crash::kBeforeWrites, Crash::kAfterWrites})
    for (std::uint64_t at = 1; at <= calm.events; ++at) {
      Crashed crashed;
      crashed.play.d.crash_at = crashed.play.d.handled + at;
      crashed.play.d.crash_how = how;
      CAPTURE(at);
      CAPTURE(static_cast<int>(how));
      crashed.run();
      crashed.check();
      const auto detail = std::get<JobDetail>(crashed.play.d.ask(ShowJob{1, 0}));
      REQUIRE_FALSE(detail.metrics.empty());
      ++(detail.metrics[0].attempt == 1 ? same_attempt : other_attempt);
      if (detail.metrics[0].attempt == 1) CHECK(crashed.expected == calm.expected);
    }
  CHECK(other_attempt > 0);  // before anyone was told to mask
  CHECK(same_attempt > other_attempt / 2);
}

TEST_CASE("secure restart: from the mask order on it is the same attempt, whatever the phase") {
  for (const char* phase : {"masking", "agreeing", "unmasking"}) {
    Crashed crashed;
    SecurePlay& play = crashed.play;
    bool stopped = false;
    const auto watch = play.hold;
    play.hold = [&](std::uint8_t n, const Message& message) {
      if (!stopped && play.d.job().phase == phase) {
        stopped = true;
        return true;
      }
      return stopped ? true : watch(n, message);
    };
    play.run();
    REQUIRE(play.d.job().phase == phase);
    REQUIRE(play.d.job().round == 0);
    play.hold = watch;
    play.restart();
    CAPTURE(phase);
    CHECK(play.d.job().phase == phase);
    crashed.run();
    crashed.check();
    CHECK(std::get<JobDetail>(play.d.ask(ShowJob{1, 0})).metrics.at(0).attempt == 1);
  }
}

TEST_CASE("secure restart: rows of an attempt that do not fit are refused by their key") {
  Crashed crashed;
  SecurePlay& play = crashed.play;
  play.hold = [&](std::uint8_t, const Message& message) {
    return std::holds_alternative<UpdateAccepted>(message) || play.d.job().phase == "agreeing";
  };
  play.run();
  REQUIRE(play.d.job().phase == "agreeing");
  const std::vector<Row> rows = play.d.store.scan("").value();
  std::size_t tried = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!rows[i].key.starts_with("mask/") && !rows[i].key.starts_with("update/")) continue;
    std::vector<Row> damaged = rows;
    damaged[i].value.back() ^= 1;
    const auto refused = Coordinator::create(play.d.config(), damaged);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == ErrorCode::kCorrupted);
    CHECK(refused.error().message.find(rows[i].key) != std::string::npos);
    damaged.erase(damaged.begin() + static_cast<std::ptrdiff_t>(i));
    if (rows[i].key.starts_with("update/")) CHECK_FALSE(Coordinator::create(play.d.config(), damaged));
    ++tried;
  }
  CHECK(tried == 6);
}

}  // namespace covey
