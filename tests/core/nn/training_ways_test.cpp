// The ways of computing one training step: in pieces, with dropout, with blocks computed twice, in 16 bits,
// with parts frozen.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/nn/optimizer.h"
#include "tests/core/nn/nn_testing.h"
#include "tests/core/nn/traces.h"

using namespace covey;
using namespace covey::testing;

namespace {

ModelSpec dropping(ModelSpec spec) {
  spec.vocabulary = 11;
  spec.dropout = 0.25;
  spec.lora = {2, 4, 0.25, {"*"}};
  return spec;
}

std::unique_ptr<Model> made(const ModelSpec& spec, ModelOptions options, Ops& ops, std::int64_t batch = 4) {
  options.batch = batch;
  auto model = Model::create(spec, options, ops);
  REQUIRE(model.has_value());
  randomize(**model, 5);
  return std::move(*model);
}

// Gradients of one step with the coins of `seed`.
std::vector<float> gradients_of(Model& model, const Minibatch& batch, std::uint64_t seed = 1) {
  model.begin_step(seed, 3);
  model.add_gradients(batch, 1 / static_cast<double>(counted_targets(batch)));
  return {model.gradients().begin(), model.gradients().end()};
}

}  // namespace

TEST_CASE("ways: a batch in pieces has the gradient of the whole") {
  for (const ModelSpec& spec : {tiny_mlp(), tiny_separable(), tiny_gpt2()}) {
    const std::int64_t length = spec.family == ModelFamily::kTransformer ? 8 : 1;
    const auto ops = make_cpu_ops();
    const auto model = made(spec, {}, *ops);
    const Examples examples(spec, 4, length, Random(6));
    const std::vector<float> whole = gradients_of(*model, examples.batch());
    const Minibatch all = examples.batch();
    const double scale = 1 / static_cast<double>(counted_targets(all));
    model->begin_step(1, 3);
    for (std::int64_t i = 0; i < 2; ++i) {
      const auto half = [&](Tensor t) {
        t.data = static_cast<char*>(t.data) + i * t.elements() / 2 * 4;
        t.shape = t.shape.rank() == 1 ? Shape{2} : t.shape.rank() == 2 ? Shape{2, t.dim(1)} : Shape{2, t.dim(1), t.dim(2), t.dim(3)};
        return t;
      };
      model->add_gradients({half(all.inputs), half(all.targets)}, scale);
    }
    CHECK(largest_difference(model->gradients(), whole) < 1e-5 * largest_of(whole) + 1e-7);
  }
}

// Fewer than twelve rows are no products of few rows; 20 are, whose weight's gradient is set.
TEST_CASE("ways: the gradient's squares are those of what is there, however many passes made it") {
  ModelSpec spec;
  spec.family = ModelFamily::kMlp;
  spec.inputs = 150;
  spec.hidden = {130, 140};
  spec.classes = 10;
  for (const double clip : {0.0, 1.0}) {
    const auto ops = make_cpu_ops();
    ModelOptions options;
    options.batch = 20;
    options.per_example_clip = clip;
    const auto model = std::move(Model::create(spec, options, *ops)).value();
    const std::vector<float> start = initial_parameters(spec, Random(1));
    std::copy(start.begin(), start.end(), model->parameters().begin());
    const auto squares = [&] {
      double sum = 0;
      for (const float value : model->gradients()) sum += static_cast<double>(value) * static_cast<double>(value);
      return sum;
    };
    Random random(2);
    std::vector<float> once;
    for (const std::int64_t rows : {20, 8}) {
      std::vector<float> inputs(static_cast<std::size_t>(rows) * spec.inputs);
      for (float& value : inputs) value = static_cast<float>(random.normal());
      std::vector<std::int32_t> targets(static_cast<std::size_t>(rows), 3);
      const Minibatch batch{tensor_of(inputs, {rows, spec.inputs}), tensor_of(targets, {rows})};
      for (std::uint64_t step = 0; step < 2; ++step) {
        model->begin_step(1, step);
        model->add_gradients(batch, 0.1);
        CHECK(model->gradient_squares() == doctest::Approx(squares()));
        once.assign(model->gradients().begin(), model->gradients().end());
      }
      model->add_gradients(batch, 0.1);
      CHECK(model->gradient_squares() == doctest::Approx(squares()));
      for (std::size_t i = 0; i < once.size(); i += 97) CHECK(model->gradients()[i] == doctest::Approx(2 * once[i]));
      model->begin_step(1, 3);
      CHECK(model->gradient_squares() == 0);
      CHECK(squares() == 0);
    }
  }
}

// Products of blocks and of the head set what they add to later, with the embedding's where the head is the same table.
TEST_CASE("ways: a transformer's gradients are of the last step alone, and twice as much after two passes") {
  ModelSpec gpt2 = tiny_gpt2(), llama = tiny_transformer();
  for (ModelSpec* spec : {&gpt2, &llama}) spec->width = 64, spec->ffn = 96, spec->vocabulary = 70;
  const std::pair<ModelSpec, std::vector<std::string>> ways[] = {{gpt2, {}}, {llama, {}}, {gpt2, {"embedding"}}, {llama, {"layers.*"}}};
  for (const auto& [spec, frozen] : ways) {
    for (const DType type : {DType::kF32, DType::kBf16, DType::kF16}) {
      CAPTURE(int(type));
      std::vector<std::vector<float>> results;
      for (const int threads : {1, 3}) {
        Team team(threads);
        const auto ops = make_cpu_ops(team);
        ModelOptions options;
        options.activations = type;
        options.frozen = frozen;
        const auto model = made(spec, options, *ops, 16), fresh = made(spec, options, *ops, 16);
        const Examples examples(spec, 16, 8, Random(6)), others(spec, 16, 8, Random(7));
        const std::vector<float> expected = gradients_of(*fresh, examples.batch());
        const auto squares = [&] {
          double sum = 0;
          for (const float value : model->gradients()) sum += static_cast<double>(value) * static_cast<double>(value);
          return sum;
        };
        gradients_of(*model, others.batch());
        CHECK(gradients_of(*model, examples.batch()) == expected);
        CHECK(model->gradient_squares() == doctest::Approx(squares()).epsilon(1e-9));
        model->add_gradients(examples.batch(), 1 / static_cast<double>(counted_targets(examples.batch())));
        CHECK(model->gradient_squares() == doctest::Approx(squares()).epsilon(1e-9));
        for (std::size_t i = 0; i < expected.size(); i += 97) CHECK(model->gradients()[i] == doctest::Approx(2 * expected[i]).epsilon(1e-4));
        model->begin_step(1, 4);
        CHECK(squares() == 0);
        results.push_back(expected);
      }
      CHECK(results[0] == results[1]);
    }
  }
}

TEST_CASE("ways: with dropout the gradient is of the loss with the same coins") {
  for (const ModelSpec& spec : {dropping(tiny_gpt2()), dropping(tiny_transformer())}) {
    const auto ops = make_ref_ops();
    const auto model = made(spec, {}, *ops);
    const Examples examples(spec, 4, 8, Random(6));
    const std::vector<float> gradients = gradients_of(*model, examples.batch());
    const auto loss = [&] {
      model->begin_step(1, 3);
      const BatchStats stats = model->add_gradients(examples.batch(), 1);
      return stats.loss_sum / static_cast<double>(stats.targets);
    };
    Random random(7);
    const ParameterRange range = model->trained().front();
    for (int sample = 0; sample < 40; ++sample) {
      const std::size_t i = random.below(range.size);
      float& parameter = model->parameters()[range.offset + i];
      const float kept = parameter, step = 1.0F / 512;
      parameter = kept + step;
      const double above = loss();
      parameter = kept - step;
      const double below = loss();
      parameter = kept;
      const double expected = (above - below) / (2 * static_cast<double>(step));
      CHECK(std::abs(static_cast<double>(gradients[i]) - expected) < 2e-4 + 0.01 * std::abs(expected));
    }
    CHECK(gradients == gradients_of(*model, examples.batch()));
    CHECK(gradients != gradients_of(*model, examples.batch(), 2));
    CHECK(model->evaluate(examples.batch()).loss_sum == model->evaluate(examples.batch()).loss_sum);
  }
}

TEST_CASE("ways: blocks computed twice have the same gradients, bit for bit, in less memory") {
  for (const ModelSpec& spec : {dropping(tiny_gpt2()), dropping(tiny_transformer()), tiny_transformer()}) {
    const auto ops = make_cpu_ops();
    const Examples examples(spec, 4, 8, Random(6));
    ModelOptions again;
    again.checkpointing = Checkpointing::kBlock;
    CHECK(gradients_of(*made(spec, {}, *ops), examples.batch()) == gradients_of(*made(spec, again, *ops), examples.batch()));
    ModelSpec large = spec;
    large.layers = 6;
    large.context = 64;
    CHECK(Model::memory_bytes(large, again).value() < Model::memory_bytes(large, {}).value());
  }
}

// Blocks as wide as that make norms and activations again on the way back; computed twice they keep them.
TEST_CASE("ways: wide blocks make norms and activations again, bit for bit") {
  for (const ModelSpec& tiny : {tiny_gpt2(), tiny_transformer(), dropping(tiny_gpt2()), dropping(tiny_transformer())}) {
    for (const DType type : {DType::kF32, DType::kBf16}) {
      ModelSpec spec = tiny;
      spec.width = 512;
      spec.heads = 8;
      spec.ffn = 600;
      const auto ops = make_cpu_ops();
      const Examples examples(spec, 2, 8, Random(6));
      ModelOptions remade, kept;
      remade.activations = kept.activations = type;
      kept.checkpointing = Checkpointing::kBlock;
      const auto model = made(spec, remade, *ops, 2), other = made(spec, kept, *ops, 2);
      for (Model* one : {model.get(), other.get()})
        for (float& value : one->parameters()) value *= 0.1F;
      const std::vector<float> gradients = gradients_of(*model, examples.batch());
      CHECK(largest_of(gradients) > 0);
      CHECK(gradients == gradients_of(*other, examples.batch()));
    }
  }
}

TEST_CASE("ways: a CNN in bf16 has logits and gradients near those of f32") {
  ModelSpec larger = tiny_cnn();  // one that is computed by tiles, where there are any
  larger.blocks = CnnBlocks::kCifar;
  larger.image_channels = 3;
  larger.conv_channels = {24, 40};
  for (const ModelSpec& spec : {tiny_cnn(), larger}) {
    const Examples examples(spec, 4, 1, Random(6));
    for (const bool reference : {true, false}) {
      const auto ops = reference ? make_ref_ops() : make_cpu_ops();
      ModelOptions narrow;
      narrow.activations = DType::kBf16;
      const auto wide = made(spec, {}, *ops), model = made(spec, narrow, *ops);
      const std::vector<float> expected = gradients_of(*wide, examples.batch());
      CHECK(largest_difference(gradients_of(*model, examples.batch()), expected) < 0.06 * largest_of(expected));
      const Tensor logits = model->logits(examples.batch()), near = wide->logits(examples.batch());
      REQUIRE(logits.dtype == DType::kF32);
      CHECK(largest_difference(logits.floats(), near.floats()) < 0.06 * largest_of(near.floats()));
      CHECK(model->evaluate(examples.batch()).targets == 4);
    }
    ModelOptions many, many_narrow;
    many.batch = many_narrow.batch = 64;
    many_narrow.activations = DType::kBf16;
    CHECK(Model::memory_bytes(spec, many_narrow).value() < Model::memory_bytes(spec, many).value());
  }
}

TEST_CASE("ways: in 16 bits the gradients are near those of f32") {
  for (const ModelSpec& spec : {tiny_gpt2(), tiny_transformer()}) {
    for (const DType type : {DType::kBf16, DType::kF16}) {
      CAPTURE(name_of(type));
      const Examples examples(spec, 4, 8, Random(6));
      for (const bool reference : {true, false}) {
        const auto ops = reference ? make_ref_ops() : make_cpu_ops();
        ModelOptions narrow;
        narrow.activations = type;
        const std::vector<float> wide = gradients_of(*made(spec, {}, *ops), examples.batch());
        const auto model = made(spec, narrow, *ops);
        CHECK(largest_difference(gradients_of(*model, examples.batch()), wide) < 0.06 * largest_of(wide));
        const auto logits = model->logits(examples.batch());
        CHECK(logits.dtype == DType::kF32);
      }
    }
  }
  const auto ops = make_cpu_ops();
  ModelOptions narrow;
  narrow.activations = DType::kBf16;
  CHECK(Model::create(tiny_mlp(), narrow, *ops).error().code == ErrorCode::kUnsupported);
  CHECK(Model::create(tiny_separable(), narrow, *ops).error().code == ErrorCode::kUnsupported);
}

TEST_CASE("ways: what is frozen has no gradient, and the rest the gradient that it had") {
  for (const char* frozen : {"embedding", "layers.0", "layers.1", "head", "layers.*"}) {
    CAPTURE(std::string(frozen));
    const ModelSpec spec = tiny_gpt2();
    const auto ops = make_cpu_ops();
    const Examples examples(spec, 4, 8, Random(6));
    const auto whole = made(spec, {}, *ops);
    const std::vector<float> all = gradients_of(*whole, examples.batch());
    ModelOptions options;
    options.frozen = {frozen};
    const auto part = made(spec, options, *ops);
    const std::vector<float> rest = gradients_of(*part, examples.batch());
    REQUIRE(rest.size() == size_of(part->trained()));
    CHECK(rest.size() < all.size());
    std::vector<float> expected;
    for (const ParameterRange& range : part->trained())
      expected.insert(expected.end(), all.begin() + static_cast<std::ptrdiff_t>(range.offset),
                      all.begin() + static_cast<std::ptrdiff_t>(range.offset + range.size));
    CHECK(rest == expected);
  }
}

TEST_CASE("ways: the loss scaler halves when a gradient overflows and recovers slowly") {
  LossScaler scaler;
  const double first = scaler.scale();
  CHECK(!scaler.update(INFINITY));
  CHECK(scaler.scale() == first / 2);
  for (int i = 0; i < 1999; ++i) CHECK(scaler.update(1));
  CHECK(scaler.scale() == first / 2);
  CHECK(scaler.update(1));
  CHECK(scaler.scale() == first);
  for (int i = 0; i < 31; ++i) scaler.update(NAN);
  CHECK(scaler.exhausted());
}
