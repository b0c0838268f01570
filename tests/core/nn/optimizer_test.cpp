#include "core/nn/optimizer.h"

#include <doctest/doctest.h>

#include <vector>

using namespace covey;

TEST_CASE("optimizer: clipping returns the norm before and bounds the step") {
  const auto ops = make_ref_ops();
  TrainSpec spec;
  spec.learning_rate = 1;
  spec.clip_norm = 1;
  const auto optimizer = make_optimizer(spec, 2, *ops);
  std::vector<float> parameters{0, 0};
  std::vector<float> gradients{3, 4};
  CHECK(optimizer->step(parameters, gradients, 0) == doctest::Approx(5));
  CHECK(parameters[0] == doctest::Approx(-0.6).epsilon(1e-5));
  CHECK(parameters[1] == doctest::Approx(-0.8).epsilon(1e-5));
  gradients = {0.3f, 0.4f};
  parameters = {0, 0};
  CHECK(optimizer->step(parameters, gradients, 0) == doctest::Approx(0.5));
  CHECK(parameters[0] == -0.3f);
}

TEST_CASE("optimizer: the schedule scales the step") {
  const auto ops = make_ref_ops();
  TrainSpec spec;
  spec.learning_rate = 1;
  spec.schedule = Schedule::kCosine;
  spec.final_ratio = 0;
  const auto optimizer = make_optimizer(spec, 1, *ops);
  std::vector<float> gradients{1};
  std::vector<float> parameters{0};
  optimizer->step(parameters, gradients, 0.5);
  CHECK(parameters[0] == doctest::Approx(-0.5));
  parameters = {0};
  optimizer->step(parameters, gradients, 1);
  CHECK(parameters[0] == doctest::Approx(0));
}

TEST_CASE("optimizer: after reset it steps as a new one does") {
  const auto ops = make_ref_ops();
  for (const auto kind : {LocalOptimizer::kSgd, LocalOptimizer::kAdamW}) {
    CAPTURE(name_of(kind));
    TrainSpec spec;
    spec.optimizer = kind;
    spec.momentum = kind == LocalOptimizer::kSgd ? 0.9 : 0;
    const auto run = [&](Optimizer& optimizer) {
      std::vector<float> parameters{1, 2, 3};
      for (const float scale : {1.0f, 0.1f, 3.0f}) {
        std::vector<float> gradients{0.5f * scale, -scale, 2 * scale};
        optimizer.step(parameters, gradients, 0);
      }
      return parameters;
    };
    const auto used = make_optimizer(spec, 3, *ops);
    const std::vector<float> first = run(*used);
    CHECK(run(*used) != first);
    used->reset();
    CHECK(run(*used) == first);
  }
}
