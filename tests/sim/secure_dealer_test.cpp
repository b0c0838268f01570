// A whole simulated federation one of whose clients deals wrong secrets: the campaign has its rounds all the same.
#include "privacy/secagg_client.h"
#include "sim/checker.h"
#include "tests/sim/secure_job.h"

using namespace covey;

namespace {

constexpr std::size_t kLiar = 4;  // client-3

struct Lies {
  bool commitment = false;  // to another mask than it shares
  bool mask = false;        // masks with another than it shares
  std::uint32_t until = ~0U;  // the last round in which it lies
};

// The production client underneath.
class Dealer final : public Machine {
 public:
  Dealer(std::unique_ptr<Machine> inner, const Lies& lies, std::shared_ptr<const SigningKey> key)
      : inner_(std::move(inner)), lies_(lies), key_(std::move(key)) {}
  Commands handle(const Event& event, Instant now) override {
    Commands commands = inner_->handle(event, now);
    for (Command& command : commands) {
      if (auto* send = std::get_if<Send>(&command))
        if (auto* note = std::get_if<SecAggNote>(&send->message); note != nullptr && note->key.round <= lies_.until) change(note->content);
      if (auto* start = std::get_if<StartWork>(&command))
        if (auto* mask = std::get_if<MaskUpdate>(&start->work); mask != nullptr && mask->offer.key.round <= lies_.until) change(*mask);
    }
    return commands;
  }

 private:
  void change(Bytes& content) const {
    SecAggMessage message = *decode_secagg_message(content);
    auto* shares = std::get_if<SharesMessage>(&message);
    if (shares == nullptr || !lies_.commitment) return;
    shares->commitment.bytes[0] ^= 1;
    shares->signature = key_->sign(kSharesDomain, shares_statement(shares->id, shares->member, shares->commitment, merkle_root(shares->sealed)));
    content = encode(message);
  }
  void change(MaskUpdate& work) const {
    if (!lies_.mask) return;
    const MaskPlan& plan = *work.plan;
    MaskPlan other{plan.sid, plan.cipher, plan.vectors, {}};
    for (const MaskSeed& seed : plan.seeds) other.seeds.push_back({seed.seed.clone(), seed.sign});
    other.seeds.front().seed = Secret<32>();  // its own mask
    work.plan = std::make_shared<const MaskPlan>(std::move(other));
  }

  std::unique_ptr<Machine> inner_;
  Lies lies_;
  std::shared_ptr<const SigningKey> key_;  // shared: by every start of the node
};

SimulationResult run(const Lies& lies, std::uint64_t seed) {
  SimulationRequest request;
  request.job = secure_job();
  request.seed = seed;
  const auto key = sim_identity(seed, "client-" + std::to_string(kLiar - 1), Role::kClient).signing;
  request.decorate = [&](std::size_t node, std::unique_ptr<Machine> machine) -> std::unique_ptr<Machine> {
    if (node != kLiar) return machine;
    return std::make_unique<Dealer>(std::move(machine), lies, key);
  };
  const auto population = tiny_population(request.job, 10, 1);
  auto result = simulate(request, *population);
  REQUIRE_MESSAGE(result.has_value(), result.error().message);
  CHECK(result->detail.summary.state == JobState::kFinished);
  REQUIRE(result->detail.metrics.size() == 4);
  return std::move(*result);
}
std::vector<std::uint32_t> delivered(const SimulationResult& result) {
  std::vector<std::uint32_t> counts;
  for (const RoundMetrics& metrics : result.detail.metrics) counts.push_back(metrics.delivered);
  return counts;
}

}  // namespace

TEST_CASE("lying dealer, simulated: a wrong commitment takes nothing from any sum, and its dealer is asked once") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    const SimulationResult result = run({.commitment = true}, seed);
    CHECK(result.opened == 4);
    CHECK(delivered(result) == std::vector<std::uint32_t>{10, 9, 9, 9});
  }
}

TEST_CASE("lying dealer, simulated: noise with a wrong commitment costs one round, and the rest go without their dealer") {
  for (std::uint64_t seed = 1; seed <= 4; ++seed) {
    const SimulationResult result = run({.commitment = true, .mask = true}, seed);
    CHECK(result.opened == 3);
    CHECK(delivered(result) == std::vector<std::uint32_t>{0, 9, 9, 9});
  }
}

TEST_CASE("lying dealer, simulated: noise that nobody can be blamed for costs the rounds it is sent in, and half of the clients sit out") {
  const SimulationResult result = run({.mask = true, .until = 2}, 1);
  CHECK(result.opened == 2);
  CHECK(delivered(result) == std::vector<std::uint32_t>{0, 0, 5, 5});
}
