// Families, adapters and smoothing against traces of transformers, PEFT and PyTorch, see
// tests/vectors/make_engine_traces.py; each in f32 by both implementations, and with checkpointing.
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

ModelSpec gpt2_spec() {
  ModelSpec spec = tiny_gpt2();
  spec.vocabulary = 24;
  return spec;
}

ModelSpec llama_spec() {
  ModelSpec spec = tiny_transformer();
  spec.vocabulary = 24;
  spec.heads = 4;
  spec.kv_heads = 2;
  spec.ffn = 24;
  spec.rope_theta = 5000;
  return spec;
}

ModelSpec tied(ModelSpec spec) {
  spec.tied_head = true;
  return spec;
}

ModelSpec adapted(ModelSpec spec, std::vector<std::string> targets) {
  spec.lora = {2, 6, 0, std::move(targets)};
  return spec;
}

ModelSpec cifar_spec() {
  ModelSpec spec;
  spec.family = ModelFamily::kCnn;
  spec.blocks = CnnBlocks::kCifar;
  spec.image_height = spec.image_width = 8;
  spec.image_channels = 3;
  spec.conv_channels = {4, 4};
  spec.dense = 16;
  spec.classes = 5;
  return spec;
}

std::vector<float> trained_of(Model& model) {
  std::vector<float> values;
  for (const ParameterRange& range : model.trained()) {
    const auto part = model.parameters().subspan(range.offset, range.size);
    values.insert(values.end(), part.begin(), part.end());
  }
  return values;
}

struct Traced {
  std::string name;
  ModelSpec spec;
  ModelOptions options;
};

void check_steps(const Traced& c, const Arrays& trace, Model& model, Ops& ops, const TracedBatch (&batches)[2]) {
  TrainSpec train;
  train.optimizer = LocalOptimizer::kAdamW;
  train.learning_rate = 0.01;
  train.beta2 = 0.95;
  train.epsilon = 1e-4;
  train.weight_decay = 0.1;
  train.clip_norm = 1;
  const auto optimizer = make_optimizer(train, model.table(), model.trained(), ops);
  const std::vector<float> start = trained_of(model);
  for (std::size_t step = 0; step < kSteps; ++step) {
    CAPTURE(step);
    const BatchStats stats = model.forward_backward(batches[step % 2].batch);
    const double norm = optimizer->step(model.parameters(), model.gradients(), 0);
    const double loss = stats.loss_sum / static_cast<double>(stats.targets);
    CHECK(loss == doctest::Approx(static_cast<double>(trace.at("losses")[step])).epsilon(2e-4));
    CHECK(norm == doctest::Approx(static_cast<double>(trace.at("norms")[step])).epsilon(1e-3));
  }
  const double moved = largest_difference(start, trace.at("trained_after"));
  REQUIRE(moved > 0.01);
  CHECK(largest_difference(trained_of(model), trace.at("trained_after")) < 5e-3 * moved);
  (void)c;
}

void check_against_trace(const Traced& c, std::unique_ptr<Ops> ops) {
  CAPTURE(c.name);
  CAPTURE(std::string(ops->name()));
  const Arrays trace = read_trace("engine/trace_" + c.name + ".bin");
  const bool tokens = c.spec.family == ModelFamily::kTransformer;
  const std::int64_t counts[2] = {tokens ? 3 : 6, tokens ? 2 : 3};
  ModelOptions options = c.options;
  options.batch = counts[0];
  const auto made = Model::create(c.spec, options, *ops);
  REQUIRE(made.has_value());
  Model& model = **made;
  const std::vector<float>& start = trace.at("parameters");
  REQUIRE(start.size() == model.parameters().size());
  std::copy(start.begin(), start.end(), model.parameters().begin());
  const TracedBatch batches[2] = {traced_batch(trace, c.spec, "0", counts[0]),
                                  traced_batch(trace, c.spec, "1", counts[1])};
  for (std::size_t i = 0; i < 2; ++i)
    CHECK(largest_difference(model.logits(batches[i].batch).floats(), trace.at("logits" + std::to_string(i))) < 1e-4);
  model.forward_backward(batches[0].batch);
  const std::vector<float>& expected = trace.at("gradients0");
  CHECK(largest_difference(model.gradients(), expected) < 1e-3 * largest_of(expected));
  check_steps(c, trace, model, *ops, batches);

  // What is frozen keeps its bits.
  std::size_t at = 0;
  for (const ParameterRange& range : model.trained()) {
    CHECK(std::equal(start.begin() + static_cast<std::ptrdiff_t>(at),
                     start.begin() + static_cast<std::ptrdiff_t>(range.offset),
                     model.parameters().begin() + static_cast<std::ptrdiff_t>(at)));
    at = range.offset + range.size;
  }
}

void check_all_ways(const std::string& name, const ModelSpec& spec, float smoothing = 0) {
  Traced c{name, spec, {}};
  c.options.label_smoothing = smoothing;
  check_against_trace(c, make_ref_ops());
  check_against_trace(c, make_cpu_ops());
  if (spec.family != ModelFamily::kTransformer) return;
  c.options.checkpointing = Checkpointing::kBlock;
  check_against_trace(c, make_cpu_ops());
}

}  // namespace

TEST_CASE("trace: GPT-2 as in transformers") { check_all_ways("gpt2", gpt2_spec()); }
TEST_CASE("trace: Llama with grouped queries and label smoothing, as in transformers") {
  check_all_ways("llama", llama_spec(), 0.1F);
}
TEST_CASE("trace: Llama with its head tied to the embedding, as in transformers") {
  check_all_ways("llama_tied", tied(llama_spec()));
}
TEST_CASE("trace: LoRA on Llama as in PEFT; the base does not move") {
  check_all_ways("llama_lora", adapted(llama_spec(), {"*q_proj", "*down_proj"}));
}
TEST_CASE("trace: LoRA on GPT-2's one product of query, key and value, as in PEFT") {
  check_all_ways("gpt2_lora", adapted(gpt2_spec(), {"*c_attn"}));
}
TEST_CASE("trace: the CIFAR CNN as in PyTorch") { check_all_ways("cifar", cifar_spec()); }
TEST_CASE("trace: depth-wise separable blocks with group norms as in PyTorch") {
  check_all_ways("separable", tiny_separable());
}
