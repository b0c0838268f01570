#include "core/nn/generate.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/nn/optimizer.h"
#include "tests/core/nn/nn_testing.h"

using namespace covey;
using namespace covey::testing;

namespace {

ModelSpec byte_transformer() {
  ModelSpec spec = tiny_transformer();
  spec.vocabulary = 256;
  return spec;
}

}  // namespace

TEST_CASE("generate: repeats what it was trained on, beyond its context") {
  const ModelSpec spec = byte_transformer();
  const Ready r = ready(spec, 3, make_ref_ops());
  const std::vector<float> fresh = initial_parameters(spec, Random(1));
  std::copy(fresh.begin(), fresh.end(), r.model->parameters().begin());
  TrainSpec train;
  train.optimizer = LocalOptimizer::kAdamW;
  train.learning_rate = 0.02;
  const auto optimizer = make_optimizer(train, fresh.size(), *r.ops);
  const std::string text = "abcabcabcab";
  std::vector<std::int32_t> tokens, targets;
  for (std::size_t start = 0; start < 3; ++start)
    for (std::size_t i = 0; i < 8; ++i) {
      tokens.push_back(text[start + i]);
      targets.push_back(text[start + i + 1]);
    }
  const Minibatch batch{tensor_of(tokens, {3, 8}), tensor_of(targets, {3, 8})};
  for (int step = 0; step < 60; ++step) {
    r.model->forward_backward(batch);
    optimizer->step(r.model->parameters(), r.model->gradients(), 0);
  }
  CHECK(generate(*r.model, spec, "bca", 12, 0, Random(1)) == "bcabcabcabca");
  CHECK(generate(*r.model, spec, "abcabcabcabcab", 4, 0.1, Random(1)) == "cabc");
}

TEST_CASE("generate: the seed decides, and a high temperature spreads") {
  const ModelSpec spec = byte_transformer();
  const Ready r = ready(spec, 1, make_ref_ops());
  randomize(*r.model, 1);
  const std::string a = generate(*r.model, spec, "", 20, 1, Random(1));
  CHECK(a.size() == 20);
  CHECK(a == generate(*r.model, spec, "", 20, 1, Random(1)));
  CHECK(a != generate(*r.model, spec, "", 20, 1, Random(2)));
  CHECK(generate(*r.model, spec, "x", 0, 1, Random(1)).empty());

  std::string hot = generate(*r.model, spec, "x", 100, 1000, Random(3));
  std::sort(hot.begin(), hot.end());
  CHECK(std::unique(hot.begin(), hot.end()) - hot.begin() > 60);  // about 83 of 100 when uniform
}
