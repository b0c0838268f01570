// Clipping of each example's gradient, against gradients of batches of one: the norms, the clipped sum, the
// bound, for every family and every way of computing a step.
#include <doctest/doctest.h>

#include <cmath>

#include "core/nn/optimizer.h"
#include "tests/core/nn/nn_testing.h"
#include "tests/core/nn/traces.h"

using namespace covey;
using namespace covey::testing;

namespace {

constexpr std::int64_t kBatch = 5;

struct Way {
  const char* name;
  ModelSpec spec;
  ModelOptions options{};
};

ModelSpec llama(std::uint32_t kv_heads = 0) {
  ModelSpec spec = tiny_transformer();
  spec.kv_heads = kv_heads;
  return spec;
}
ModelSpec untied_gpt2() {
  ModelSpec spec = tiny_gpt2();
  spec.tied_head = false;
  return spec;
}
ModelSpec tied_llama() {
  ModelSpec spec = tiny_transformer();
  spec.tied_head = true;
  return spec;
}
ModelSpec adapted(ModelSpec spec) {
  spec.lora = {2, 4, 0, {"*"}};
  return spec;
}
ModelSpec short_wide(ModelSpec spec) {  // norms of all products from inner products
  spec.width = 32;
  spec.ffn = 64;
  spec.context = 4;
  return spec;
}
ModelSpec long_narrow(ModelSpec spec) {  // norms of all products from gradients
  spec.vocabulary = 12;
  spec.context = 48;
  return spec;
}
ModelSpec cifar() {
  ModelSpec spec = tiny_cnn();
  spec.blocks = CnnBlocks::kCifar;
  return spec;
}
ModelOptions again() {
  ModelOptions options;
  options.checkpointing = Checkpointing::kBlock;
  return options;
}
ModelOptions frozen(std::vector<std::string> names) {
  ModelOptions options;
  options.frozen = std::move(names);
  return options;
}
ModelOptions smoothed() {
  ModelOptions options;
  options.label_smoothing = 0.1F;
  return options;
}

std::vector<Way> ways() {
  return {{"logistic", tiny_logistic()},
          {"mlp", tiny_mlp(), smoothed()},
          {"cnn", tiny_cnn()},
          {"cifar", cifar()},
          {"separable", tiny_separable()},
          {"llama", llama()},
          {"llama, two queries a key", llama(1)},
          {"llama, tied", tied_llama()},
          {"llama, short and wide", short_wide(llama())},
          {"llama, long and narrow", long_narrow(llama())},
          {"llama, blocks computed twice", llama(), again()},
          {"llama, frozen block", llama(), frozen({"layers.0"})},
          {"llama, adapters", adapted(llama())},
          {"gpt2", untied_gpt2()},
          {"gpt2, tied", tiny_gpt2(), smoothed()},
          {"gpt2, tied, short and wide", short_wide(tiny_gpt2())},
          {"gpt2, tied, long and narrow", long_narrow(tiny_gpt2())},
          {"gpt2, tied, blocks computed twice", tiny_gpt2(), again()},
          {"gpt2, frozen embedding", tiny_gpt2(), frozen({"embedding"})},
          {"gpt2, frozen all but a block", tiny_gpt2(), frozen({"embedding", "layers.1", "head"})},
          {"gpt2, adapters", adapted(tiny_gpt2())},
          {"gpt2, adapters, blocks computed twice", adapted(tiny_gpt2()), again()}};
}

std::int64_t length_of(const ModelSpec& spec) {
  return spec.family == ModelFamily::kTransformer ? std::int64_t{spec.context} : 1;
}

std::unique_ptr<Model> made(const ModelSpec& spec, ModelOptions options, double clip, Ops& ops, std::int64_t batch = kBatch) {
  options.batch = batch;
  options.per_example_clip = clip;
  auto model = Model::create(spec, options, ops);
  REQUIRE_MESSAGE(model.has_value(), (model ? "" : model.error().message));
  randomize(**model, 5);
  return std::move(*model);
}

Minibatch part_of(const Minibatch& batch, std::int64_t first, std::int64_t count) {
  const auto part = [&](Tensor t) {
    const std::int64_t each = t.elements() / t.dim(0);
    t.data = static_cast<char*>(t.data) + first * each * 4;
    t.shape = t.shape.rank() == 1   ? Shape{count}
              : t.shape.rank() == 2 ? Shape{count, t.dim(1)}
                                    : Shape{count, t.dim(1), t.dim(2), t.dim(3)};
    return t;
  };
  return {part(batch.inputs), part(batch.targets)};
}

double norm_of(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += double{value} * value;
  return std::sqrt(sum);
}

struct Naive {
  std::vector<std::vector<float>> gradients;  // of each example
  std::vector<double> norms;
  double median() const {
    std::vector<double> sorted = norms;
    std::sort(sorted.begin(), sorted.end());
    return sorted[sorted.size() / 2];
  }
  std::vector<float> clipped_mean(double bound) const {
    std::vector<double> sum(gradients.front().size());
    for (std::size_t i = 0; i < gradients.size(); ++i)
      for (std::size_t j = 0; j < sum.size(); ++j)
        sum[j] += std::min(1.0, bound / norms[i]) * double{gradients[i][j]} / static_cast<double>(gradients.size());
    return {sum.begin(), sum.end()};
  }
};

Naive naive(const Way& way, const Minibatch& batch, Ops& ops) {
  const std::unique_ptr<Model> model = made(way.spec, way.options, 0, ops, 1);
  Naive all;
  for (std::int64_t i = 0; i < batch.inputs.dim(0); ++i) {
    model->forward_backward(part_of(batch, i, 1));
    all.gradients.emplace_back(model->gradients().begin(), model->gradients().end());
    all.norms.push_back(norm_of(model->gradients()));
  }
  return all;
}

}  // namespace

TEST_CASE("example clip: norms and clipped sums are those of batches of one") {
  for (const Way& way : ways()) {
    CAPTURE(std::string(way.name));
    const auto ops = make_cpu_ops();
    const Examples examples(way.spec, kBatch, length_of(way.spec), Random(6));
    const Naive expected = naive(way, examples.batch(), *ops);
    for (const double bound : {expected.median(), 0.01, 1e6}) {
      CAPTURE(bound);
      const auto model = made(way.spec, way.options, bound, *ops);
      model->forward_backward(examples.batch());
      REQUIRE(model->example_norms().size() == kBatch);
      for (std::size_t i = 0; i < kBatch; ++i)
        CHECK(double{model->example_norms()[i]} == doctest::Approx(expected.norms[i]).epsilon(1e-4));
      const std::vector<float> sum = expected.clipped_mean(bound);
      CHECK(largest_difference(model->gradients(), sum) < 1e-4 * largest_of(sum));
    }
  }
}

TEST_CASE("example clip: without the bound in reach a step is the plain one, and pieces add up to the whole") {
  for (const Way& way : {Way{"mlp", tiny_mlp()}, Way{"separable", tiny_separable()}, Way{"llama", llama(), again()}}) {
    CAPTURE(std::string(way.name));
    const auto ops = make_cpu_ops();
    const Examples examples(way.spec, 4, length_of(way.spec), Random(6));
    if (way.spec.family != ModelFamily::kTransformer) {  // each example has as many targets
      const auto plain = made(way.spec, way.options, 0, *ops);
      plain->forward_backward(examples.batch());
      const auto clipped = made(way.spec, way.options, 1e9, *ops);
      clipped->forward_backward(examples.batch());
      CHECK(largest_difference(clipped->gradients(), plain->gradients()) < 1e-5 * largest_of(plain->gradients()));
    }
    const double bound = naive(way, examples.batch(), *ops).median();
    const auto whole = made(way.spec, way.options, bound, *ops), parts = made(way.spec, way.options, bound, *ops, 2);
    whole->forward_backward(examples.batch());
    parts->begin_step(0, 0);
    for (std::int64_t first = 0; first < 4; first += 2) parts->add_gradients(part_of(examples.batch(), first, 2), 0.25);
    CHECK(largest_difference(parts->gradients(), whole->gradients()) < 1e-5 * largest_of(whole->gradients()));
    CHECK(parts->example_norms().size() == 2);
  }
}

TEST_CASE("example clip: an example alone is never longer than the bound, in f32 and bf16") {
  for (const ModelSpec& spec : {tiny_mlp(), tiny_cnn(), tiny_gpt2(), llama()}) {
    const bool tokens = spec.family == ModelFamily::kTransformer;
    for (const DType type : {DType::kF32, DType::kBf16}) {
      if (type == DType::kBf16 && spec.family == ModelFamily::kMlp) continue;
      for (const Checkpointing keeping : {Checkpointing::kNone, Checkpointing::kBlock}) {
        if (keeping == Checkpointing::kBlock && !tokens) continue;
        const auto ops = make_cpu_ops();
        ModelOptions options;
        options.activations = type;
        options.checkpointing = keeping;
        const auto model = made(spec, options, 0.125, *ops, 1);
        for (std::uint64_t seed = 0; seed < 10; ++seed) {
          const Examples one(spec, 1, length_of(spec), Random(seed));
          model->forward_backward(one.batch());
          CHECK(model->example_norms()[0] > 0.125F);
          CHECK(norm_of(model->gradients()) == doctest::Approx(0.125).epsilon(type == DType::kF32 ? 1e-5 : 2e-3));
        }
      }
    }
  }
}

TEST_CASE("example clip: in bf16 norms are near those of f32") {
  for (const ModelSpec& spec : {tiny_gpt2(), long_narrow(llama())}) {
    const auto ops = make_cpu_ops();
    const Examples examples(spec, kBatch, length_of(spec), Random(6));
    ModelOptions narrow;
    narrow.activations = DType::kBf16;
    const auto wide = made(spec, {}, 1, *ops), half = made(spec, narrow, 1, *ops);
    wide->forward_backward(examples.batch());
    half->forward_backward(examples.batch());
    for (std::size_t i = 0; i < kBatch; ++i)
      CHECK(double{half->example_norms()[i]} == doctest::Approx(double{wide->example_norms()[i]}).epsilon(0.02));
    CHECK(largest_difference(half->gradients(), wide->gradients()) < 0.06 * largest_of(wide->gradients()));
  }
  const auto ops = make_cpu_ops();
  ModelOptions fp16;
  fp16.activations = DType::kF16;
  fp16.per_example_clip = 1;
  const auto refused = Model::create(tiny_gpt2(), fp16, *ops);
  REQUIRE(!refused.has_value());
  CHECK(refused.error().code == ErrorCode::kUnsupported);
  CHECK(refused.error().message.find("\"bf16\"") != std::string::npos);
}

// A head tied to the embedding: what the two uses of the weight have in common is part of the norm. Apart, as
// two weights with the same values, they lack it, and a bound held against them would not hold.
TEST_CASE("example clip: the norm of a tied weight is not that of its two uses apart") {
  const ModelSpec tied = tiny_gpt2(), apart = untied_gpt2();
  const auto ops = make_cpu_ops();
  // Two tokens of each example follow one another again and again: what one is turned towards as a target, the
  // other is moved by as an input.
  std::vector<std::int32_t> tokens, targets;
  for (std::int32_t i = 0; i < 8 * kBatch; ++i) {
    tokens.push_back(2 * (i / 8) + i % 2);
    targets.push_back(2 * (i / 8) + (i + 1) % 2);
  }
  const Minibatch batch{tensor_of(std::span(tokens), {kBatch, 8}), tensor_of(std::span(targets), {kBatch, 8})};
  const ModelOptions options = frozen({"layers.*"});  // so that other gradients do not hide it
  const auto one = made(tied, options, 1e9, *ops), two = made(apart, options, 1e9, *ops);
  std::copy(one->parameters().begin(), one->parameters().end(), two->parameters().begin());
  const ParameterInfo& table = one->table().parameters.front();
  const ParameterInfo& head = two->table().parameters.back();
  REQUIRE(head.size == table.size);
  REQUIRE(one->table().size + head.size == two->table().size);
  std::copy_n(one->parameters().begin(), table.size, two->parameters().begin() + static_cast<std::ptrdiff_t>(head.offset));
  one->forward_backward(batch);
  two->forward_backward(batch);
  const Naive expected = naive({"", tied, options}, batch, *ops);
  double largest = 0;
  for (std::size_t i = 0; i < kBatch; ++i) {
    CHECK(double{one->example_norms()[i]} == doctest::Approx(expected.norms[i]).epsilon(1e-4));
    largest = std::max(largest, std::abs(double{two->example_norms()[i]} / expected.norms[i] - 1));
  }
  CHECK(largest > 0.02);
}

TEST_CASE("example clip: the same bits on one thread and on three") {
  for (const Way& way : {Way{"cnn", tiny_cnn()}, Way{"separable", tiny_separable()}, Way{"gpt2", tiny_gpt2()},
                         Way{"llama", long_narrow(llama())}, Way{"again", adapted(tiny_gpt2()), again()}}) {
    CAPTURE(std::string(way.name));
    const Examples examples(way.spec, kBatch, length_of(way.spec), Random(6));
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 3, 3}) {
      Team team(threads);
      const auto ops = make_cpu_ops(team);
      const auto model = made(way.spec, way.options, 0.5, *ops);
      model->forward_backward(examples.batch());
      results.emplace_back(model->gradients().begin(), model->gradients().end());
      results.back().insert(results.back().end(), model->example_norms().begin(), model->example_norms().end());
    }
    CHECK(results[0] == results[1]);
    CHECK(results[0] == results[2]);
  }
}

// Wide enough for the tiles, and the dense layer for a gradient that is set in the first pass of a step.
TEST_CASE("example clip: a CNN on tiles, step after step, is that of batches of one") {
  constexpr std::int64_t kImages = 14;
  ModelSpec spec = tiny_cnn();
  spec.image_height = 12, spec.conv_channels = {16, 40}, spec.dense = 64;
  const Examples examples(spec, kImages, 1, Random(6)), others(spec, kImages, 1, Random(7));
  for (const DType type : {DType::kF32, DType::kBf16}) {
    CAPTURE(int(type));
    const double part = type == DType::kF32 ? 1e-4 : 0.03;
    Way way{"cnn", spec};
    way.options.activations = type;
    std::vector<std::vector<float>> results;
    for (const int threads : {1, 3}) {
      Team team(threads);
      const auto ops = make_cpu_ops(team);
      const Naive expected = naive(way, examples.batch(), *ops);
      const auto model = made(spec, way.options, expected.median(), *ops, kImages);
      for (const Examples* each : {&examples, &others, &examples}) model->forward_backward(each->batch());
      for (std::size_t i = 0; i < kImages; ++i)
        CHECK(double{model->example_norms()[i]} == doctest::Approx(expected.norms[i]).epsilon(part));
      const std::vector<float> sum = expected.clipped_mean(expected.median());
      CHECK(largest_difference(model->gradients(), sum) < part * largest_of(sum));
      CHECK(std::sqrt(model->gradient_squares()) == doctest::Approx(norm_of(model->gradients())).epsilon(1e-6));
      const std::vector<float> once(model->gradients().begin(), model->gradients().end());
      model->begin_step(0, 4);  // twice the same, so twice as much
      for (int i = 0; i < 2; ++i) model->add_gradients(examples.batch(), 1.0 / kImages);
      CHECK(std::sqrt(model->gradient_squares()) == doctest::Approx(2 * norm_of(once)).epsilon(1e-5));
      results.push_back(once);
      results.back().insert(results.back().end(), model->example_norms().begin(), model->example_norms().end());
    }
    CHECK(results[0] == results[1]);
  }
}

TEST_CASE("example clip: with dropout the clipped gradient is of the same coins as the plain one") {
  ModelSpec spec = adapted(tiny_gpt2());
  spec.dropout = 0.25;
  spec.lora.dropout = 0.25;
  for (const Checkpointing keeping : {Checkpointing::kNone, Checkpointing::kBlock}) {
    const auto ops = make_cpu_ops();
    ModelOptions options;
    options.checkpointing = keeping;
    const auto plain = made(spec, options, 0, *ops), clipped = made(spec, options, 1e9, *ops);
    const Examples examples(spec, 1, 8, Random(6));
    plain->begin_step(7, 3);
    plain->add_gradients(examples.batch(), 1.0 / 7);  // one target of eight is none
    clipped->begin_step(7, 3);
    clipped->add_gradients(examples.batch(), 1);
    CHECK(largest_difference(clipped->gradients(), plain->gradients()) < 1e-5 * largest_of(plain->gradients()));
  }
}

TEST_CASE("example clip: an example without a target counts, with a gradient of 0") {
  const ModelSpec spec = tiny_gpt2();
  const auto ops = make_cpu_ops();
  const Examples examples(spec, 2, 8, Random(6));
  Minibatch batch = examples.batch();
  std::vector<std::int32_t> targets(batch.targets.ints().begin(), batch.targets.ints().end());
  std::fill_n(targets.begin() + 8, 8, -1);
  batch.targets = tensor_of(std::span(targets), batch.targets.shape);
  const auto both = made(spec, {}, 0.1, *ops, 2), alone = made(spec, {}, 0.1, *ops, 1);
  both->forward_backward(batch);
  CHECK(both->example_norms()[1] == 0);
  CHECK(norm_of(both->gradients()) == doctest::Approx(0.05).epsilon(1e-4));
}

TEST_CASE("example clip: its memory is counted, less where blocks are computed twice") {
  for (const ModelSpec& spec : {tiny_mlp(), tiny_cnn(), tiny_gpt2()}) {
    ModelOptions plain, clipped;
    plain.batch = clipped.batch = 8;
    clipped.per_example_clip = 1;
    CHECK(Model::memory_bytes(spec, clipped).value() > Model::memory_bytes(spec, plain).value());
  }
  ModelSpec large = tiny_gpt2();
  large.layers = 6;
  large.context = 64;
  ModelOptions kept, twice = again();
  kept.per_example_clip = twice.per_example_clip = 1;
  kept.batch = twice.batch = 8;
  CHECK(Model::memory_bytes(large, twice).value() < Model::memory_bytes(large, kept).value());
}
