// Every family's backward against central differences of its forward, with the reference ops.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/core/nn/nn_testing.h"

using namespace covey;
using namespace covey::testing;

namespace {

double mean_loss(Model& model, const Minibatch& batch) {
  const BatchStats stats = model.evaluate(batch);
  return stats.loss_sum / static_cast<double>(stats.targets);
}

// A sample of every parameter tensor. Where ReLU or max has its kink inside the step, the
// differences to both sides disagree, and the gradient may lie anywhere between them.
void check_gradients(const ModelSpec& spec, std::int64_t batch, std::int64_t length) {
  const Ready r = ready(spec, batch, make_ref_ops());
  randomize(*r.model, 5);
  const Examples examples(spec, batch, length, Random(6));
  r.model->forward_backward(examples.batch());
  const std::vector<float> gradients(r.model->gradients().begin(), r.model->gradients().end());

  const double middle = mean_loss(*r.model, examples.batch());

  Random random(7);
  const double step = 1.0 / 512;
  for (const ParameterInfo& info : r.model->table().parameters) {
    double largest = 0;
    for (int sample = 0; sample < 12; ++sample) {
      const std::size_t i = info.offset + random.below(info.size);
      float& parameter = r.model->parameters()[i];
      const float kept = parameter;
      parameter = static_cast<float>(kept + step);
      const double above = mean_loss(*r.model, examples.batch());
      parameter = static_cast<float>(kept - step);
      const double below = mean_loss(*r.model, examples.batch());
      parameter = kept;
      const double expected = (above - below) / (2 * step);
      const double kink = std::abs(above - 2 * middle + below) / step;
      const double actual = static_cast<double>(gradients[i]);
      CAPTURE(info.name);
      CAPTURE(i - info.offset);
      CAPTURE(actual);
      CAPTURE(expected);
      CHECK(std::abs(actual - expected) < 1e-4 + 0.01 * std::abs(expected) + kink);
      largest = std::max(largest, std::abs(actual));
    }
    CAPTURE(info.name);
    CHECK(largest > 1e-5);
  }
}

}  // namespace

TEST_CASE("gradients: logistic regression agrees with finite differences") {
  check_gradients(tiny_logistic(), 5, 1);
}
TEST_CASE("gradients: the MLP agrees with finite differences") { check_gradients(tiny_mlp(), 9, 1); }
TEST_CASE("gradients: the CNN agrees with finite differences") { check_gradients(tiny_cnn(), 4, 1); }
TEST_CASE("gradients: the separable CNN agrees with finite differences") { check_gradients(tiny_separable(), 4, 1); }
TEST_CASE("gradients: GPT-2 agrees with finite differences") {
  ModelSpec spec = tiny_gpt2();
  spec.vocabulary = 11;
  check_gradients(spec, 5, 8);
}
TEST_CASE("gradients: the transformer agrees with finite differences") {
  ModelSpec spec = tiny_transformer();
  spec.vocabulary = 11;  // few enough that every token occurs
  check_gradients(spec, 5, 8);
}
