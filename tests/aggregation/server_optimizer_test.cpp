#include "aggregation/server_optimizer.h"

#include <doctest/doctest.h>

#include <cmath>

namespace covey {
namespace {

ServerSpec spec_of(ServerOptimizerKind kind) {
  ServerSpec spec;
  spec.optimizer = kind;
  spec.learning_rate = 0.5;
  spec.momentum = 0.5;
  spec.beta1 = 0.5;
  spec.beta2 = 0.75;
  spec.tau = 0.5;
  return spec;
}

struct Run {
  explicit Run(const ServerSpec& spec) : optimizer(spec), first{optimizer.initial(0)}, second{optimizer.initial(1)} {}
  float step(double delta) {
    std::vector<std::span<float>> state;
    if (optimizer.slots() > 0) state.emplace_back(first);
    if (optimizer.slots() > 1) state.emplace_back(second);
    const std::vector<double> mean{delta};
    optimizer.step(x, mean, state);
    return x[0];
  }
  ServerOptimizer optimizer;
  std::vector<float> x{1.0F}, first, second;
};

}  // namespace

TEST_CASE("server optimizer: fedavg subtracts the mean update") {
  Run run(spec_of(ServerOptimizerKind::kFedAvg));
  CHECK(run.optimizer.slots() == 0);
  CHECK(run.step(2.0) == 0.0F);  // 1 - 0.5 * 2
}

TEST_CASE("server optimizer: fedavgm keeps momentum") {
  Run run(spec_of(ServerOptimizerKind::kFedAvgM));
  CHECK(run.optimizer.slots() == 1);
  CHECK(run.step(2.0) == 0.0F);   // m = 2
  CHECK(run.step(1.0) == -1.0F);  // m = 0.5 * 2 + 1 = 2
  CHECK(run.first[0] == 2.0F);
}

TEST_CASE("server optimizer: fedadam by hand") {
  Run run(spec_of(ServerOptimizerKind::kFedAdam));
  CHECK(run.optimizer.slots() == 2);
  CHECK(run.second[0] == 0.25F);  // tau^2
  // m = 0.5 * 2 = 1; v = 0.75 * 0.25 + 0.25 * 4 = 1.1875
  const double expected = 1.0 - 0.5 * 1.0 / (std::sqrt(1.1875) + 0.5);
  CHECK(run.step(2.0) == static_cast<float>(expected));
  CHECK(run.first[0] == 1.0F);
  CHECK(run.second[0] == 1.1875F);
}

TEST_CASE("server optimizer: fedyogi moves v by the sign of v - delta^2") {
  Run run(spec_of(ServerOptimizerKind::kFedYogi));
  // delta^2 = 4 > v = 0.25: v grows by 0.25 * 4
  run.step(2.0);
  CHECK(run.second[0] == 1.25F);
  // delta^2 = 0.25 < v: v shrinks by 0.25 * 0.25; m = 0.5 * 1 + 0.5 * 0.5 = 0.75
  const float before = run.x[0];
  const double expected = static_cast<double>(before) - 0.5 * 0.75 / (std::sqrt(1.1875) + 0.5);
  CHECK(run.step(0.5) == static_cast<float>(expected));
  CHECK(run.second[0] == 1.1875F);
}

TEST_CASE("server optimizer: no update moves nothing at first") {
  for (const auto kind : {ServerOptimizerKind::kFedAvg, ServerOptimizerKind::kFedAvgM, ServerOptimizerKind::kFedAdam,
                          ServerOptimizerKind::kFedYogi}) {
    Run run(spec_of(kind));
    CHECK(run.step(0.0) == 1.0F);
  }
}

}  // namespace covey
