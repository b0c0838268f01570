#include "core/nn/token_decoder.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/core/nn/nn_testing.h"
#include "tests/core/nn/traces.h"

using namespace covey;
using namespace covey::testing;

TEST_CASE("decoder: token by token it gives the logits of the whole sequence") {
  std::vector<ModelSpec> specs{tiny_transformer(), tiny_gpt2(), tiny_transformer(), tiny_gpt2()};
  specs[0].heads = 4;
  specs[0].kv_heads = 2;
  specs[0].rope_theta = 500;
  specs[2].lora = {2, 4, 0, {"*"}};
  specs[3].lora = {2, 4, 0.5, {"*c_attn"}};
  for (const ModelSpec& spec : specs) {
    CAPTURE(std::string(name_of(spec.style)));
    const Ready r = ready(spec, 1, make_cpu_ops());
    randomize(*r.model, 4);
    std::vector<std::int32_t> tokens{3, 1, 4, 1, 5, 9, 2, 6};
    const Tensor all = r.model->logits({tensor_of(tokens, {1, 8}), {}});
    const std::vector<float> expected(all.floats().begin(), all.floats().end());
    TokenDecoder decoder(spec, r.model->parameters(), *r.ops);
    for (int turn = 0; turn < 2; ++turn) {
      decoder.forget();
      for (std::size_t t = 0; t < tokens.size(); ++t) {
        const auto row = std::span(expected).subspan(t * spec.vocabulary, spec.vocabulary);
        CHECK(largest_difference(decoder.next(tokens[t]), row) < 1e-4 * (1 + largest_of(row)));
      }
    }
  }
}

TEST_CASE("decoder: sampling keeps to the likeliest, and the seed decides") {
  const std::vector<float> logits{0, 3, 2, 1, -1};
  const auto drawn = [&](Sampling sampling) {
    std::set<std::int32_t> seen;
    Random random(3);
    for (int i = 0; i < 2000; ++i) seen.insert(sample(logits, sampling, random));
    return seen;
  };
  CHECK(drawn({0, 0, 1}) == std::set<std::int32_t>{1});
  CHECK(drawn({1, 0, 1}).size() == 5);
  CHECK(drawn({1, 2, 1}) == std::set<std::int32_t>{1, 2});
  CHECK(drawn({1, 0, 0.5}) == std::set<std::int32_t>{1});  // 64 % are token 1's, 24 % token 2's
  CHECK(drawn({1, 0, 0.8}) == std::set<std::int32_t>{1, 2});
  CHECK(drawn({1, 1, 0.9}) == std::set<std::int32_t>{1});
  Random random(1);
  CHECK(sample(std::vector<float>(4, NAN), {1, 2, 0.5}, random) == 0);
}

TEST_CASE("decoder: goes on beyond its context, the same for the same seed") {
  const ModelSpec spec = tiny_gpt2();
  const Ready r = ready(spec, 1, make_cpu_ops());
  randomize(*r.model, 4);
  TokenDecoder decoder(spec, r.model->parameters(), *r.ops);
  const std::vector<std::int32_t> prompt{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  const auto once = continue_tokens(decoder, prompt, 30, {1, 0, 1}, Random(1)).value();
  CHECK(once.size() == 30);
  CHECK(once == continue_tokens(decoder, prompt, 30, {1, 0, 1}, Random(1)).value());
  CHECK(once != continue_tokens(decoder, prompt, 30, {1, 0, 1}, Random(2)).value());
  std::vector<std::int32_t> told;
  const auto five = continue_tokens(decoder, prompt, 30, {1, 0, 1}, Random(1), [&](std::int32_t token) {
    told.push_back(token);
    return told.size() < 5;
  }).value();
  CHECK(five == std::vector<std::int32_t>(once.begin(), once.begin() + 5));
  CHECK(told == five);

  r.model->parameters()[3] = 3e38F;  // a sum of products with it is infinite, and the norm after that none
  r.model->parameters()[4] = 3e38F;
  const auto overflowed = continue_tokens(decoder, std::vector<std::int32_t>{0, 1}, 5, {1, 0, 1}, Random(1));
  REQUIRE_FALSE(overflowed);
  CHECK(overflowed.error().code == ErrorCode::kInvalidData);
  CHECK(overflowed.error().message.find("not finite") != std::string::npos);
}
