// Whole models against traces of PyTorch, see tests/vectors/make_nn_vectors.py.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "core/nn/optimizer.h"
#include "tests/core/nn/nn_testing.h"

using namespace covey;
using namespace covey::testing;

namespace {

constexpr int kSteps = 10;
using Arrays = std::map<std::string, std::vector<float>>;

Arrays read_trace(const std::string& name) {
  std::ifstream file(COVEY_SOURCE_DIR "/tests/vectors/nn/" + name + ".bin", std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::size_t at = 0;
  const auto read = [&](void* to, std::size_t count) {
    REQUIRE(count <= bytes.size() - at);
    std::memcpy(to, bytes.data() + at, count);
    at += count;
  };
  const auto read_u32 = [&] {
    std::uint32_t value = 0;
    read(&value, sizeof value);
    return value;
  };
  Arrays arrays;
  for (std::uint32_t left = read_u32(); left > 0; --left) {
    std::string key(read_u32(), '\0');
    read(key.data(), key.size());
    std::vector<float> values(read_u32());
    read(values.data(), values.size() * sizeof(float));
    arrays[key] = std::move(values);
  }
  REQUIRE(at == bytes.size());
  return arrays;
}

double largest_difference(std::span<const float> a, std::span<const float> b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    largest = std::max(largest, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
  return largest;
}

double largest_of(std::span<const float> values) {
  double largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(static_cast<double>(value)));
  return largest;
}

// One minibatch of a trace, owning its integers.
struct TracedBatch {
  std::vector<float> features;
  std::vector<std::int32_t> tokens, targets;
  Minibatch batch;
};

TracedBatch traced_batch(const Arrays& trace, const ModelSpec& spec, const std::string& index,
                         std::int64_t count) {
  TracedBatch b;
  for (const float t : trace.at("targets" + index)) b.targets.push_back(static_cast<std::int32_t>(t));
  const std::vector<float>& inputs = trace.at("inputs" + index);
  const Shape shape{count, static_cast<std::int64_t>(inputs.size()) / count};
  if (spec.family == ModelFamily::kTransformer) {
    for (const float t : inputs) b.tokens.push_back(static_cast<std::int32_t>(t));
    b.batch = {tensor_of(b.tokens, shape), tensor_of(b.targets, shape)};
  } else {
    b.features = inputs;
    b.batch = {tensor_of(b.features, shape), tensor_of(b.targets, {count})};
  }
  return b;
}

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
  const Arrays trace = read_trace(c.name);
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
