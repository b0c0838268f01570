// Whole models against traces of PyTorch, see tests/vectors/make_nn_vectors.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "core/nn/optimizer.h"
#include "tests/core/nn/nn_testing.h"
#include "tests/core/nn/traces.h"

using namespace covey;
using namespace covey::testing;

namespace {

constexpr int kSteps = 10;
struct Case {
  std::string name;
  ModelSpec spec;
  TrainSpec train;
  std::int64_t counts[2];  // examples of the two minibatches
};

Case transformer_case() {
  TrainSpec train;
  train.optimizer = LocalOptimizer::kAdamW;
  train.learning_rate = 0.01;
  train.beta2 = 0.95;
  train.weight_decay = 0.1;
  train.clip_norm = 1;
  train.schedule = Schedule::kCosine;
  train.warmup = 0.2;
  train.final_ratio = 0.1;
  return {"transformer", tiny_transformer(), train, {3, 2}};
}
Case cnn_case() {
  TrainSpec train;
  train.learning_rate = 0.1;
  train.momentum = 0.9;
  train.weight_decay = 0.01;
  return {"cnn", tiny_cnn(), train, {6, 3}};
}
Case mlp_case() {
  TrainSpec train;
  train.optimizer = LocalOptimizer::kAdamW;
  train.learning_rate = 0.01;
  train.weight_decay = 0.01;
  return {"mlp", tiny_mlp(), train, {6, 3}};
}

void check_against_torch(const Case& c, std::unique_ptr<Ops> ops) {
  CAPTURE(c.name);
  CAPTURE(std::string(ops->name()));
  const Arrays trace = read_trace("nn/" + c.name + ".bin");
  const Ready r = ready(c.spec, c.counts[0], std::move(ops));
  Model& model = *r.model;
  const std::vector<float>& start = trace.at("parameters");
  REQUIRE(start.size() == model.parameters().size());
  std::copy(start.begin(), start.end(), model.parameters().begin());

  const TracedBatch batches[2] = {traced_batch(trace, c.spec, "0", c.counts[0]),
                                  traced_batch(trace, c.spec, "1", c.counts[1])};
  for (std::size_t i = 0; i < 2; ++i) {
    const std::string index = std::to_string(i);
    CHECK(largest_difference(model.logits(batches[i].batch).floats(), trace.at("logits" + index)) <
          1e-4);
    model.forward_backward(batches[i].batch);
    const std::vector<float>& expected = trace.at("gradients" + index);
    CHECK(largest_difference(model.gradients(), expected) < 1e-3 * largest_of(expected));
  }

  const auto optimizer = make_optimizer(c.train, start.size(), *r.ops);
  for (std::size_t step = 0; step < kSteps; ++step) {
    CAPTURE(step);
    const BatchStats stats = model.forward_backward(batches[step % 2].batch);
    const double norm = optimizer->step(model.parameters(), model.gradients(),
                                        static_cast<double>(step) / kSteps);
    const double loss = stats.loss_sum / static_cast<double>(stats.targets);
    CHECK(loss == doctest::Approx(static_cast<double>(trace.at("losses")[step])).epsilon(1e-4));
    CHECK(norm == doctest::Approx(static_cast<double>(trace.at("norms")[step])).epsilon(1e-3));
  }
  const double moved = largest_difference(start, trace.at("parameters_after"));
  REQUIRE(moved > 0.01);
  CHECK(largest_difference(model.parameters(), trace.at("parameters_after")) < 2e-3 * moved);
}

}  // namespace

TEST_CASE("torch: a transformer's logits, gradients and AdamW steps") {
  check_against_torch(transformer_case(), make_ref_ops());
  check_against_torch(transformer_case(), make_cpu_ops());
}
TEST_CASE("torch: a CNN's logits, gradients and SGD momentum steps") {
  check_against_torch(cnn_case(), make_ref_ops());
  check_against_torch(cnn_case(), make_cpu_ops());
}
TEST_CASE("torch: an MLP's logits, gradients and AdamW steps") {
  check_against_torch(mlp_case(), make_ref_ops());
  check_against_torch(mlp_case(), make_cpu_ops());
}
