// A thousand steps of a CNN in bf16 beside those in f32, on patterns under noise, some of them wrongly named, so
// that the loss has a floor that no model comes below.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/nn/optimizer.h"
#include "tests/core/nn/nn_testing.h"

using namespace covey;
using namespace covey::testing;

namespace {

constexpr std::int64_t kBatch = 32, kSide = 16, kPixels = kSide * kSide;
constexpr std::size_t kClasses = 10;

ModelSpec cnn() {
  ModelSpec spec;
  spec.family = ModelFamily::kCnn;
  spec.image_height = spec.image_width = kSide;
  spec.conv_channels = {16, 32};
  spec.dense = 64;
  spec.classes = kClasses;
  return spec;
}

// Mean losses of each hundred steps.
std::vector<double> curve(DType type) {
  const ModelSpec spec = cnn();
  const auto ops = make_cpu_ops();
  ModelOptions options;
  options.batch = kBatch;
  options.activations = type;
  const auto model = std::move(Model::create(spec, options, *ops)).value();
  const std::vector<float> start = initial_parameters(spec, Random(1));
  std::copy(start.begin(), start.end(), model->parameters().begin());
  TrainSpec train;
  train.optimizer = LocalOptimizer::kSgd;
  train.learning_rate = 0.005;
  train.momentum = 0.9;
  train.schedule = Schedule::kCosine;
  train.warmup = 0.05;
  const auto optimizer = make_optimizer(train, model->table(), model->trained(), *ops);
  Random patterns(3), random(4);
  std::vector<float> pattern(kClasses * kPixels), images(kBatch * kPixels);
  for (float& value : pattern) value = 0.6F * static_cast<float>(patterns.normal());
  std::vector<std::int32_t> targets(kBatch);
  std::vector<double> losses;
  for (int step = 0; step < 1000; ++step) {
    for (std::size_t i = 0; i < kBatch; ++i) {
      const std::size_t own = random.below(kClasses);
      for (std::size_t p = 0; p < kPixels; ++p)
        images[i * kPixels + p] = pattern[own * kPixels + p] + static_cast<float>(random.normal());
      targets[i] = static_cast<std::int32_t>(random.below(5) == 0 ? random.below(kClasses) : own);
    }
    const Minibatch batch{tensor_of(images, {kBatch, 1, kSide, kSide}), tensor_of(targets, {kBatch})};
    const BatchStats stats = model->forward_backward(batch);
    REQUIRE(std::isfinite(optimizer->step(model->parameters(), model->gradients(), step / 1000.0)));
    if (step % 100 == 0) losses.push_back(0);
    losses.back() += stats.loss_sum / static_cast<double>(stats.targets) / 100;
  }
  return losses;
}

}  // namespace

TEST_CASE("precision: the loss of a CNN in bf16 stays within 1 % of f32's over 1,000 steps") {
  const std::vector<double> wide = curve(DType::kF32), narrow = curve(DType::kBf16);
  REQUIRE(wide.back() < 0.6 * wide.front());  // it learns
  for (std::size_t i = 0; i < wide.size(); ++i) {
    CAPTURE(i);
    CHECK(std::abs(narrow[i] - wide[i]) < 0.01 * wide[i]);
  }
}
