#include "core/nn/model.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/core/nn/nn_testing.h"

using namespace covey;
using namespace covey::testing;

namespace {

std::vector<ModelSpec> all_families() {
  return {tiny_logistic(), tiny_mlp(), tiny_cnn(), tiny_separable(), tiny_transformer(), tiny_gpt2()};
}

std::vector<float> copy_of(std::span<const float> values) { return {values.begin(), values.end()}; }

}  // namespace

TEST_CASE("model: a shorter minibatch gives what a model planned for it gives, bit for bit") {
  for (const ModelSpec& spec : all_families()) {
    CAPTURE(name_of(spec.family));
    const std::int64_t length = spec.family == ModelFamily::kTransformer ? 8 : 1;
    const Ready large = ready(spec, 6, make_ref_ops());
    const Ready small = ready(spec, 2, make_ref_ops());
    randomize(*large.model, 1);
    randomize(*small.model, 1);
    const Examples before(spec, 6, length, Random(2));
    large.model->forward_backward(before.batch());  // leaves its traces in every buffer
    const Examples examples(spec, 2, length, Random(3));
    const BatchStats a = large.model->forward_backward(examples.batch());
    const BatchStats b = small.model->forward_backward(examples.batch());
    CHECK(a.loss_sum == b.loss_sum);
    CHECK(a.targets == b.targets);
    CHECK(copy_of(large.model->gradients()) == copy_of(small.model->gradients()));
  }
}

TEST_CASE("model: forward_backward and evaluate agree on the statistics") {
  for (const ModelSpec& spec : all_families()) {
    CAPTURE(name_of(spec.family));
    const std::int64_t length = spec.family == ModelFamily::kTransformer ? 7 : 1;
    const Ready r = ready(spec, 4, make_ref_ops());
    randomize(*r.model, 1);
    const Examples examples(spec, 4, length, Random(2));
    const BatchStats trained = r.model->forward_backward(examples.batch());
    const BatchStats evaluated = r.model->evaluate(examples.batch());
    CHECK(trained.loss_sum == evaluated.loss_sum);
    CHECK(trained.correct == evaluated.correct);
    CHECK(trained.targets == (spec.family == ModelFamily::kTransformer ? 4 * 7 - 1 : 4));
    CHECK(evaluated.loss_sum > 0);

    // The count of correct ones, from the logits themselves.
    const Tensor logits = r.model->logits(examples.batch());
    std::int64_t correct = 0;
    const auto classes = static_cast<std::size_t>(logits.dim(1));
    for (std::int64_t row = 0; row < logits.dim(0); ++row) {
      const auto values = logits.floats().subspan(static_cast<std::size_t>(row) * classes, classes);
      const auto best = std::max_element(values.begin(), values.end()) - values.begin();
      correct += best == examples.batch().targets.i32()[row] ? 1 : 0;
    }
    CHECK(correct == trained.correct);
  }
}

TEST_CASE("model: later tokens do not change earlier logits") {
  const ModelSpec spec = tiny_transformer();
  const Ready r = ready(spec, 1, make_ref_ops());
  randomize(*r.model, 1);
  std::vector<std::int32_t> tokens{1, 2, 3, 4, 5, 6, 7, 8};
  const auto logits = [&] { return copy_of(r.model->logits({tensor_of(tokens, {1, 8}), {}}).floats()); };
  const std::vector<float> before = logits();
  tokens[5] = 20;
  const std::vector<float> after = logits();
  const std::ptrdiff_t changed = 5 * 32;
  CHECK(std::equal(before.begin(), before.begin() + changed, after.begin()));
  CHECK(!std::equal(before.begin() + changed, before.begin() + changed + 32, after.begin() + changed));
}

TEST_CASE("model: an image may come flat or with its four dimensions") {
  const ModelSpec spec = tiny_cnn();
  const Ready r = ready(spec, 2, make_ref_ops());
  randomize(*r.model, 1);
  const Examples examples(spec, 2, 1, Random(2));
  Minibatch flat = examples.batch();
  flat.inputs = flat.inputs.reshaped({2, 2 * 8 * 12});
  CHECK(r.model->evaluate(flat).loss_sum == r.model->evaluate(examples.batch()).loss_sum);
}

TEST_CASE("model: impossible specs, batches and memory are refused") {
  const auto ops = make_ref_ops();
  ModelSpec spec = tiny_transformer();
  spec.heads = 5;
  const auto heads = Model::create(spec, 1, *ops);
  REQUIRE(!heads);
  CHECK(heads.error().message.find("model.heads = 5") == 0);
  const auto batch = Model::create(tiny_mlp(), 0, *ops);
  REQUIRE(!batch);
  CHECK(batch.error().message == "batch = 0: must lie in [1, 65536]");
  spec = tiny_transformer();
  spec.context = 65'536;
  spec.width = 1024;
  const auto memory = Model::create(spec, 65'536, *ops);
  REQUIRE(!memory);
  CHECK(memory.error().code == ErrorCode::kResourceExhausted);
  CHECK(memory.error().message.find("train.batch_size = 65536") != std::string::npos);
}

TEST_CASE("initial parameters: the same seed gives the same bits, another seed others") {
  for (const ModelSpec& spec : all_families()) {
    const std::vector<float> a = initial_parameters(spec, Random(1));
    CHECK(a.size() == parameter_table(spec).size);
    CHECK(a == initial_parameters(spec, Random(1)));
    CHECK(a != initial_parameters(spec, Random(2)));
  }
}

TEST_CASE("initial parameters: deviations and bounds follow the recipe") {
  ModelSpec spec;
  spec.family = ModelFamily::kTransformer;
  std::vector<float> values = initial_parameters(spec, Random(3));
  for (const ParameterInfo& info : parameter_table(spec).parameters) {
    CAPTURE(info.name);
    double sum = 0, squares = 0;
    for (std::size_t i = info.offset; i < info.offset + info.size; ++i) {
      sum += static_cast<double>(values[i]);
      squares += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    }
    const auto size = static_cast<double>(info.size);
    if (info.shape.size() == 1) {
      CHECK(sum == size);
      continue;
    }
    const bool scaled = info.name.find("o_proj") != std::string::npos ||
                        info.name.find("down_proj") != std::string::npos;
    const double expected = scaled ? 0.02 / std::sqrt(8.0) : 0.02;
    CHECK(std::sqrt(squares / size) == doctest::Approx(expected).epsilon(0.03));
    CHECK(std::abs(sum / size) < 5 * expected / std::sqrt(size));
  }

  spec = tiny_cnn();
  values = initial_parameters(spec, Random(3));
  const ParameterInfo bias = parameter_table(spec).parameters[3];
  REQUIRE(bias.name == "conv2.bias");
  const ParameterInfo weight = parameter_table(spec).parameters[2];
  const auto all = std::span<const float>(values);
  const double bound = 1 / std::sqrt(4.0 * 9);
  for (const float value : all.subspan(bias.offset, bias.size))
    CHECK(std::abs(static_cast<double>(value)) <= bound);
  double largest = 0;
  for (const float value : all.subspan(weight.offset, weight.size))
    largest = std::max(largest, std::abs(static_cast<double>(value)));
  CHECK(largest <= bound);
  CHECK(largest > 0.9 * bound);
}

TEST_CASE("initial parameters: in pieces of any size they are the same") {
  for (const ModelSpec& spec : {tiny_transformer(), tiny_cnn()}) {
    const std::vector<float> whole = initial_parameters(spec, Random(3));
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{1000}}) {
      std::vector<float> pieces(whole.size());
      InitialParameters parameters(spec, Random(3));
      for (std::size_t at = 0; at < pieces.size(); at += piece)
        parameters.next(std::span(pieces).subspan(at, std::min(piece, pieces.size() - at)));
      CHECK(pieces == whole);
    }
  }
}
