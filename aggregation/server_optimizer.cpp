#include "aggregation/server_optimizer.h"

#include <cmath>

namespace covey {

ServerOptimizer::ServerOptimizer(const ServerSpec& spec) : spec_(spec) {}

std::size_t ServerOptimizer::slots() const {
  switch (spec_.optimizer) {
    case ServerOptimizerKind::kFedAvg: return 0;
    case ServerOptimizerKind::kFedAvgM: return 1;
    case ServerOptimizerKind::kFedAdam:
    case ServerOptimizerKind::kFedYogi: return 2;
  }
  COVEY_CHECK(false);
  return 0;
}

float ServerOptimizer::initial(std::size_t slot) const {
  return slot == 1 ? static_cast<float>(spec_.tau * spec_.tau) : 0.0F;
}

namespace {

void step_plain(double rate, std::span<float> x, std::span<const double> delta) {
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(static_cast<double>(x[i]) - rate * delta[i]);
}

void step_momentum(const ServerSpec& spec, std::span<float> x, std::span<const double> delta,
                   std::span<float> momentum) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double m = spec.momentum * static_cast<double>(momentum[i]) + delta[i];
    momentum[i] = static_cast<float>(m);
    x[i] = static_cast<float>(static_cast<double>(x[i]) - spec.learning_rate * m);
  }
}

double next_v(const ServerSpec& spec, double v, double squared) {
  if (spec.optimizer == ServerOptimizerKind::kFedAdam)
    return spec.beta2 * v + (1.0 - spec.beta2) * squared;
  const double sign = v > squared ? 1.0 : v < squared ? -1.0 : 0.0;
  return v - (1.0 - spec.beta2) * squared * sign;
}

void step_adaptive(const ServerSpec& spec, std::span<float> x, std::span<const double> delta,
                   std::span<float> first, std::span<float> second) {
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double d = delta[i];
    const double m = spec.beta1 * static_cast<double>(first[i]) + (1.0 - spec.beta1) * d;
    const double v = next_v(spec, static_cast<double>(second[i]), d * d);
    first[i] = static_cast<float>(m);
    second[i] = static_cast<float>(v);
    // Rounding may leave v a hair below 0 when it should be 0.
    const double step = spec.learning_rate * m / (std::sqrt(v > 0 ? v : 0.0) + spec.tau);
    x[i] = static_cast<float>(static_cast<double>(x[i]) - step);
  }
}

}  // namespace

void ServerOptimizer::step(std::span<float> parameters, std::span<const double> delta,
                           std::span<const std::span<float>> state) const {
  COVEY_CHECK(parameters.size() == delta.size());
  COVEY_CHECK(state.size() == slots());
  for (const std::span<float> slot : state) COVEY_CHECK(slot.size() == parameters.size());
  switch (spec_.optimizer) {
    case ServerOptimizerKind::kFedAvg: return step_plain(spec_.learning_rate, parameters, delta);
    case ServerOptimizerKind::kFedAvgM: return step_momentum(spec_, parameters, delta, state[0]);
    case ServerOptimizerKind::kFedAdam:
    case ServerOptimizerKind::kFedYogi: return step_adaptive(spec_, parameters, delta, state[0], state[1]);
  }
}

}  // namespace covey
