// Frozen weights in bf16 and in bytes: forward and the gradients that pass through them, against f32.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/nn/optimizer.h"
#include "core/tensor/arena.h"
#include "tests/core/nn/nn_testing.h"
#include "tests/core/nn/traces.h"

using namespace covey;
using namespace covey::testing;

namespace {

struct Case {
  const char* name;
  ModelSpec spec;
  std::vector<std::string> frozen;
};

std::vector<Case> cases() {
  ModelSpec gpt2 = tiny_gpt2(), llama = tiny_transformer();
  ModelSpec adapted = gpt2, grouped = llama;
  adapted.lora = {2, 4, 0, {"*"}};
  grouped.lora = {2, 4, 0, {"*q_proj", "*down_proj"}};
  grouped.kv_heads = 1;
  return {{"gpt2, adapters", adapted, {}},
          {"llama, adapters", grouped, {}},
          {"gpt2, a frozen block above a trained one", gpt2, {"layers.1"}},
          {"llama, frozen blocks", llama, {"layers.*"}}};
}

std::unique_ptr<Model> made(const Case& c, FrozenStorage storage, DType activations, Ops& ops, std::span<const float> all) {
  ModelOptions options;
  options.batch = 4;
  options.activations = activations;
  options.frozen = c.frozen;
  options.frozen_storage = storage;
  auto model = Model::create(c.spec, options, ops);
  REQUIRE_MESSAGE(model.has_value(), (model ? "" : model.error().message));
  (*model)->load(all);
  return std::move(*model);
}

std::vector<float> parameters_of(const ModelSpec& spec) {
  std::vector<float> all(parameter_table(spec).size);
  Random random(5);
  for (float& value : all) value = static_cast<float>(0.3 * random.normal());
  return all;
}

std::vector<float> gradients_of(Model& model, const Minibatch& batch) {
  model.begin_step(1, 0);
  model.add_gradients(batch, 1 / static_cast<double>(counted_targets(batch)));
  return {model.gradients().begin(), model.gradients().end()};
}

// `all` as the weights are held: rounded, in f32.
std::vector<float> rounded(const Case& c, FrozenStorage storage, std::vector<float> all) {
  const auto ops = make_ref_ops();
  const ParameterTable table = parameter_table(c.spec);
  for (const std::size_t index : frozen_weights(c.spec, c.frozen)) {
    const ParameterInfo& info = table.parameters[index];
    const Shape shape{info.shape[0], info.shape[1]};
    const Tensor whole = tensor_of(std::span(all).subspan(info.offset, info.size), shape);
    Arena arena(4 * info.size + 4096);
    if (storage == FrozenStorage::kBf16) {
      const Tensor narrow = arena.take(shape, DType::kBf16);
      ops->convert(whole, narrow);
      ops->convert(narrow, whole);
      continue;
    }
    const Tensor codes = arena.take(shape, DType::kI8), scales = arena.take({shape[0]});
    ops->quantize_rows(whole, codes, scales);
    for (std::int64_t i = 0; i < shape.elements(); ++i)
      whole.f32()[i] = static_cast<float>(codes.as<std::int8_t>()[i]) * scales.f32()[i / shape[1]];
  }
  return all;
}

}  // namespace

TEST_CASE("frozen storage: computes what f32 does with the rounded weights") {
  for (const Case& c : cases()) {
    for (const FrozenStorage storage : {FrozenStorage::kBf16, FrozenStorage::kInt8}) {
      for (const bool reference : {true, false}) {
        CAPTURE(std::string(c.name));
        CAPTURE(std::string(name_of(storage)));
        const auto ops = reference ? make_ref_ops() : make_cpu_ops();
        const std::vector<float> all = parameters_of(c.spec);
        const Examples examples(c.spec, 4, 8, Random(6));
        const auto wide = made(c, FrozenStorage::kF32, DType::kF32, *ops, rounded(c, storage, all));
        const auto narrow = made(c, storage, DType::kF32, *ops, all);
        const std::vector<float> expected = gradients_of(*wide, examples.batch());
        CHECK(largest_difference(gradients_of(*narrow, examples.batch()), expected) < 1e-5 * largest_of(expected) + 1e-7);
        const double loss = wide->evaluate(examples.batch()).loss_sum;
        CHECK(narrow->evaluate(examples.batch()).loss_sum == doctest::Approx(loss).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("frozen storage: near f32 with the weights as they were, also in bf16") {
  for (const Case& c : cases()) {
    for (const FrozenStorage storage : {FrozenStorage::kBf16, FrozenStorage::kInt8}) {
      for (const DType type : {DType::kF32, DType::kBf16}) {
        CAPTURE(std::string(c.name));
        CAPTURE(std::string(name_of(storage)));
        CAPTURE(std::string(name_of(type)));
        const auto ops = make_cpu_ops();
        const std::vector<float> all = parameters_of(c.spec);
        const Examples examples(c.spec, 4, 8, Random(6));
        const std::vector<float> expected = gradients_of(*made(c, FrozenStorage::kF32, DType::kF32, *ops, all), examples.batch());
        const auto narrow = made(c, storage, type, *ops, all);
        CHECK(largest_difference(gradients_of(*narrow, examples.batch()), expected) < 0.06 * largest_of(expected));
      }
    }
  }
}

TEST_CASE("frozen storage: an optimizer step moves what is trained, where it lies") {
  const auto ops = make_cpu_ops();
  for (const Case& c : cases()) {
    CAPTURE(std::string(c.name));
    const std::vector<float> all = parameters_of(c.spec);
    const Examples examples(c.spec, 4, 8, Random(6));
    for (const LocalOptimizer kind : {LocalOptimizer::kAdamW, LocalOptimizer::kMuon}) {
      TrainSpec train;
      train.optimizer = kind;
      train.learning_rate = 0.01;
      if (kind == LocalOptimizer::kMuon) train.momentum = 0.9;
      const auto wide = made(c, FrozenStorage::kF32, DType::kF32, *ops, rounded(c, FrozenStorage::kInt8, all));
      const auto narrow = made(c, FrozenStorage::kInt8, DType::kF32, *ops, all);
      REQUIRE(narrow->parameters().size() == size_of(narrow->held()));
      for (Model* model : {wide.get(), narrow.get()}) {
        const auto optimizer = make_optimizer(train, model->table(), model->held(), model->trained(), *ops);
        gradients_of(*model, examples.batch());
        optimizer->step(model->parameters(), model->gradients(), 0);
      }
      std::vector<float> expected;
      for (const ParameterRange& range : narrow->held()) {
        const auto part = wide->parameters().subspan(range.offset, range.size);
        expected.insert(expected.end(), part.begin(), part.end());
      }
      CHECK(largest_difference(narrow->parameters(), expected) < 2e-3);  // steps of 0.01 or more
      CHECK(largest_difference(narrow->parameters(), std::vector<float>(expected.size())) > 0.1);
    }
  }
}

TEST_CASE("frozen storage: the same bits on three threads, and with blocks computed twice") {
  const Case c = cases().front();
  const std::vector<float> all = parameters_of(c.spec);
  const Examples examples(c.spec, 4, 8, Random(6));
  Team team(3);
  const auto one = make_cpu_ops(), three = make_cpu_ops(team);
  const auto model = made(c, FrozenStorage::kInt8, DType::kF32, *one, all);
  const std::vector<float> expected = gradients_of(*model, examples.batch());
  CHECK(gradients_of(*made(c, FrozenStorage::kInt8, DType::kF32, *three, all), examples.batch()) == expected);
  ModelOptions again;
  again.batch = 4;
  again.frozen_storage = FrozenStorage::kInt8;
  again.checkpointing = Checkpointing::kBlock;
  auto twice = Model::create(c.spec, again, *one);
  REQUIRE(twice.has_value());
  (*twice)->load(all);
  CHECK(gradients_of(**twice, examples.batch()) == expected);
}

TEST_CASE("frozen storage: takes the memory that it says, and is refused where nothing is frozen") {
  ModelSpec spec = tiny_transformer();
  spec.width = 64, spec.layers = 4;
  ModelOptions options;
  options.frozen = {"layers.*"};
  std::uint64_t weights = 0;
  for (const std::size_t index : frozen_weights(spec, options.frozen)) weights += parameter_table(spec).parameters[index].size;
  const std::size_t whole = Model::memory_bytes(spec, options).value();
  options.frozen_storage = FrozenStorage::kBf16;
  const std::size_t half = Model::memory_bytes(spec, options).value();
  CHECK(whole - half > 2 * weights - 4096);
  options.frozen_storage = FrozenStorage::kInt8;
  CHECK(Model::memory_bytes(spec, options).value() < half);
  options.frozen = {"embedding"};
  const auto refused = Model::memory_bytes(spec, options);
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().message.find("train.frozen_storage = \"int8\": no weight of a block is frozen") == 0);
  options.frozen = {};
  CHECK_FALSE(Model::memory_bytes(tiny_mlp(), options).has_value());
}
