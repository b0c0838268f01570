#include "core/nn/optimizer.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/base/random.h"

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

TEST_CASE("optimizer: a gradient that is not finite changes nothing, and a scale is taken out of it") {
  const auto ops = make_cpu_ops();
  for (const auto kind : {LocalOptimizer::kSgd, LocalOptimizer::kAdamW, LocalOptimizer::kLion}) {
    TrainSpec spec;
    spec.optimizer = kind;
    spec.clip_norm = 2;
    const auto scaled = make_optimizer(spec, 2, *ops), plain = make_optimizer(spec, 2, *ops);
    std::vector<float> a{1, 2}, b{1, 2};
    CHECK(!std::isfinite(scaled->step(a, std::vector<float>{INFINITY, 1}, 0, 1)));
    CHECK(a == b);
    CHECK(scaled->step(a, std::vector<float>{3 * 1024, 4 * 1024}, 0, 1.0 / 1024) == doctest::Approx(5));
    CHECK(plain->step(b, std::vector<float>{3, 4}, 0) == doctest::Approx(5));
    for (std::size_t i = 0; i < 2; ++i) CHECK(a[i] == doctest::Approx(b[i]).epsilon(1e-6));
  }
}

TEST_CASE("optimizer: Lion steps by the sign, Nesterov looks ahead") {
  const auto ops = make_cpu_ops();
  TrainSpec lion;
  lion.optimizer = LocalOptimizer::kLion;
  lion.learning_rate = 0.5;
  lion.weight_decay = 0.1;
  std::vector<float> p{1, -1};
  make_optimizer(lion, 2, *ops)->step(p, std::vector<float>{0.001F, -7}, 0);
  CHECK(p[0] == doctest::Approx(1 * (1 - 0.05) - 0.5));
  CHECK(p[1] == doctest::Approx(-1 * (1 - 0.05) + 0.5));

  TrainSpec nesterov;
  nesterov.learning_rate = 1;
  nesterov.momentum = 0.5;
  nesterov.nesterov = true;
  p = {0, 0};
  const auto optimizer = make_optimizer(nesterov, 2, *ops);
  optimizer->step(p, std::vector<float>{1, 2}, 0);  // g + 0.5 g
  CHECK(p[0] == doctest::Approx(-1.5));
  optimizer->step(p, std::vector<float>{1, 2}, 0);  // v = 1.5 g; g + 0.75 g
  CHECK(p[1] == doctest::Approx(-3 - 3.5));
}

TEST_CASE("optimizer: Muon moves a hidden matrix by an orthogonal one, and all else as AdamW does") {
  const auto ops = make_cpu_ops();
  ModelSpec model;
  model.family = ModelFamily::kMlp;
  model.inputs = 4;
  model.hidden = {4, 4};
  model.classes = 3;
  const ParameterTable table = parameter_table(model);
  TrainSpec muon, adamw;
  muon.optimizer = LocalOptimizer::kMuon;
  muon.momentum = 0.95;
  muon.muon_learning_rate = 1;
  adamw.optimizer = LocalOptimizer::kAdamW;
  std::vector<float> gradients(table.size), by_muon(table.size), by_adamw(table.size);
  Random random(4);
  for (float& g : gradients) g = static_cast<float>(random.normal());
  const std::vector<ParameterRange> all{{0, table.size}};
  make_optimizer(muon, table, all, *ops)->step(by_muon, gradients, 0);
  make_optimizer(adamw, table, all, *ops)->step(by_adamw, gradients, 0);
  for (const ParameterInfo& info : table.parameters) {
    CAPTURE(info.name);
    const auto part = [&](const std::vector<float>& values) {
      return std::vector<float>(values.begin() + static_cast<std::ptrdiff_t>(info.offset),
                                values.begin() + static_cast<std::ptrdiff_t>(info.offset + info.size));
    };
    if (info.shape.size() == 1 || info.name == "fc3.weight") {
      CHECK(part(by_muon) == part(by_adamw));
      continue;
    }
    const std::vector<float> m = part(by_muon);  // its rows, nearly of length 1 and at right angles
    for (std::size_t i = 0; i < 4; ++i)
      for (std::size_t j = 0; j < 4; ++j) {
        double dot = 0;
        for (std::size_t k = 0; k < 4; ++k) dot += static_cast<double>(m[4 * i + k]) * static_cast<double>(m[4 * j + k]);
        CHECK(std::abs(dot - (i == j ? 1.0 : 0.0)) < 0.6);
      }
  }
}
