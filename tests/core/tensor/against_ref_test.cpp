// Every operation of the cpu implementation, for every instruction set, against `ref`: common
// shapes, odd ones, ones of size 1, aliasing, and accumulation onto what is there.
#include "tests/core/tensor/op_case.h"

namespace covey::test {
namespace {

TEST_CASE("cpu linear agrees with ref") {
  Random random(1);
  struct Size { std::int64_t m, n, k; };
  for (const auto [m, n, k] : {Size{1, 1, 1}, {2, 3, 5}, {32, 10, 784}, {17, 33, 65}, {64, 128, 96},
                               {1, 200, 100}, {130, 1, 7}}) {
    const Array x = normal(random, {m, k}), w = normal(random, {n, k}), b = normal(random, {n});
    const Array y = normal(random, {m, n}), dw = normal(random, {n, k}), db = normal(random, {n});
    check_against_ref("linear", {x, w, b, y},
                      [](Ops& o, const Tensors& t) { o.linear(t[0], t[1], t[2], t[3]); });
    check_against_ref("linear, no bias", {x, w, y},
                      [](Ops& o, const Tensors& t) { o.linear(t[0], t[1], {}, t[2]); });
    check_against_ref("linear_grad_input", {y, w, x},
                      [](Ops& o, const Tensors& t) { o.linear_grad_input(t[0], t[1], t[2]); });
    check_against_ref("linear_grad_weight", {y, x, dw, db}, [](Ops& o, const Tensors& t) {
      o.linear_grad_weight(t[0], t[1], t[2], t[3]);
    });
    check_against_ref("linear_grad_weight, no bias", {y, x, dw}, [](Ops& o, const Tensors& t) {
      o.linear_grad_weight(t[0], t[1], t[2], {});
    });
  }
}

TEST_CASE("cpu linear folds leading dimensions") {
  Random random(2);
  check_against_ref("linear [B,T,K]",
                    {normal(random, {3, 5, 8}), normal(random, {6, 8}), normal(random, {6}),
                     zeros({3, 5, 6})},
                    [](Ops& o, const Tensors& t) { o.linear(t[0], t[1], t[2], t[3]); });
}

TEST_CASE("cpu embedding agrees with ref") {
  Random random(3);
  struct Size { std::int64_t m, v, d; };
  for (const auto [m, v, d] : {Size{1, 1, 1}, {40, 7, 33}, {100, 256, 64}}) {
    const Array tokens = integers(random, {m}, 0, static_cast<std::int32_t>(v));
    check_against_ref("embedding", {tokens, normal(random, {v, d}), zeros({m, d})},
                      [](Ops& o, const Tensors& t) { o.embedding(t[0], t[1], t[2]); });
    check_against_ref("embedding_grad", {tokens, normal(random, {m, d}), normal(random, {v, d})},
                      [](Ops& o, const Tensors& t) { o.embedding_grad(t[0], t[1], t[2]); });
  }
}

TEST_CASE("cpu rmsnorm agrees with ref") {
  Random random(4);
  struct Size { std::int64_t m, d; };
  for (const auto [m, d] : {Size{1, 1}, {3, 7}, {20, 64}, {5, 129}, {300, 32}}) {
    const Array x = normal(random, {m, d}), g = normal(random, {d}), y = normal(random, {m, d});
    check_against_ref("rmsnorm", {x, g, y, zeros({m})},
                      [](Ops& o, const Tensors& t) { o.rmsnorm(t[0], t[1], t[2], t[3]); });
    check_against_ref(
        "rmsnorm_grad",
        {x, g, constant({m}, 0.7F), y, normal(random, {m, d}), normal(random, {d})},
        [](Ops& o, const Tensors& t) { o.rmsnorm_grad(t[0], t[1], t[2], t[3], t[4], t[5]); });
  }
}

TEST_CASE("cpu rope agrees with ref, also after a longer and a different table") {
  Random random(5);
  const Array a = normal(random, {2, 9, 3, 10}), b = normal(random, {1, 33, 2, 32});
  const Array c = normal(random, {2, 4, 1, 32});
  check_against_ref("rope", {a, b, c}, [](Ops& o, const Tensors& t) {
    o.rope(t[0], 1);
    o.rope(t[1], -1);
    o.rope(t[2], 1);
  });
}

TEST_CASE("cpu attention agrees with ref") {
  Random random(6);
  for (const Shape shape : {Shape{1, 1, 1, 2}, {1, 8, 1, 16}, {2, 5, 3, 6}, {1, 33, 2, 32},
                            {1, 70, 1, 20}, {2, 128, 2, 32}, {1, 131, 1, 64}, {1, 16, 1, 1}}) {
    const Array q = normal(random, shape, 2.0), k = normal(random, shape, 2.0);
    const Array v = normal(random, shape), dy = normal(random, shape), y = normal(random, shape);
    const Array lse = zeros({shape[0], shape[2], shape[1]});
    check_against_ref("attention", {q, k, v, y, lse}, [](Ops& o, const Tensors& t) {
      o.attention(t[0], t[1], t[2], t[3], t[4]);
    });
    check_against_ref("attention_grad", {q, k, v, y, lse, dy, y, y, y},
                      [](Ops& o, const Tensors& t) {
                        o.attention(t[0], t[1], t[2], t[3], t[4]);
                        o.attention_grad(t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8]);
                      }, 2e-5);
  }
}

TEST_CASE("cpu attention does not see the future") {
  Random random(7);
  Arrays arrays{normal(random, {1, 40, 1, 16}), normal(random, {1, 40, 1, 16}),
                normal(random, {1, 40, 1, 16}), zeros({1, 40, 1, 16}), zeros({1, 1, 40})};
  Arrays changed = arrays;
  for (std::size_t i = 21 * 16; i < 40 * 16; ++i)
    changed[0].floats[i] = changed[1].floats[i] = changed[2].floats[i] = 50.0F;
  const std::unique_ptr<Ops> ops = make_cpu_ops();
  for (Arrays* a : {&arrays, &changed}) {
    const Tensors t = views(*a);
    ops->attention(t[0], t[1], t[2], t[3], t[4]);
  }
  CHECK(std::equal(arrays[3].floats.begin(), arrays[3].floats.begin() + 21 * 16,
                   changed[3].floats.begin()));
  CHECK(arrays[3].floats[21 * 16] != changed[3].floats[21 * 16]);
}

TEST_CASE("cpu activations agree with ref, also in place") {
  Random random(8);
  for (const std::int64_t n : {1, 3, 16, 17, 1000, 4099}) {
    const Array a = normal(random, {n}, 5.0), b = normal(random, {n}), c = normal(random, {n});
    Array with_zeros = normal(random, {n});
    for (std::size_t i = 0; i < with_zeros.size(); i += 3) with_zeros.floats[i] = 0.0F;
    check_against_ref("swiglu", {a, b, c},
                      [](Ops& o, const Tensors& t) { o.swiglu(t[0], t[1], t[2]); });
    check_against_ref("swiglu_grad", {a, b, c, c, c}, [](Ops& o, const Tensors& t) {
      o.swiglu_grad(t[0], t[1], t[2], t[3], t[4]);
    });
    check_against_ref("swiglu_grad with y", {a, b, c, c, c, c}, [](Ops& o, const Tensors& t) {
      o.swiglu_grad(t[0], t[1], t[2], t[3], t[4], t[5]);
    });
    check_against_ref("swiglu_grad with y for dy", {a, b, c, c, c}, [](Ops& o, const Tensors& t) {
      o.swiglu_grad(t[0], t[1], t[2], t[3], t[4], t[2]);
    });
    check_against_ref("swiglu_grad in place", {a, b, c}, [](Ops& o, const Tensors& t) {
      o.swiglu_grad(t[0], t[1], t[2], t[0], t[1]);
    });
    check_against_ref("relu", {with_zeros, c},
                      [](Ops& o, const Tensors& t) { o.relu(t[0], t[1]); }, 0);
    check_against_ref("relu in place", {with_zeros},
                      [](Ops& o, const Tensors& t) { o.relu(t[0], t[0]); }, 0);
    check_against_ref("relu_grad", {with_zeros, b, c},
                      [](Ops& o, const Tensors& t) { o.relu_grad(t[0], t[1], t[2]); }, 0);
    check_against_ref("relu_grad in place", {with_zeros, b},
                      [](Ops& o, const Tensors& t) { o.relu_grad(t[0], t[1], t[1]); }, 0);
  }
}

TEST_CASE("cpu swiglu holds at the ends of the exponential's range") {
  Array gate = zeros({8});
  const float ends[] = {-200.0F, -88.0F, -87.4F, -87.3F, 87.3F, 88.4F, 200.0F, 0.0F};
  std::copy_n(ends, 8, gate.floats.begin());
  check_against_ref("swiglu", {gate, constant({8}, 1.0F), zeros({8})},
                    [](Ops& o, const Tensors& t) { o.swiglu(t[0], t[1], t[2]); });
}

TEST_CASE("cpu conv2d agrees with ref") {
  Random random(9);
  struct Size { std::int64_t batch, in, out, height, width, kernel, padding; };
  for (const auto s : {Size{1, 1, 1, 1, 1, 1, 0}, {2, 1, 8, 12, 12, 5, 2}, {3, 3, 5, 7, 9, 3, 1},
                       {1, 16, 32, 14, 14, 5, 2}, {2, 4, 6, 6, 5, 5, 0}, {1, 32, 64, 6, 6, 3, 1}}) {
    const ConvGeometry g{s.kernel, s.padding};
    const std::int64_t shrink = s.kernel - 1 - 2 * s.padding;
    const Array x = normal(random, {s.batch, s.in, s.height, s.width});
    const Array w = normal(random, {s.out, s.in, s.kernel, s.kernel}), b = normal(random, {s.out});
    const Array y = normal(random, {s.batch, s.out, s.height - shrink, s.width - shrink});
    const Array dw = normal(random, w.shape), db = normal(random, {s.out});
    check_against_ref("conv2d", {x, w, b, y},
                      [&](Ops& o, const Tensors& t) { o.conv2d(t[0], t[1], t[2], t[3], g); });
    check_against_ref("conv2d, no bias", {x, w, y},
                      [&](Ops& o, const Tensors& t) { o.conv2d(t[0], t[1], {}, t[2], g); });
    check_against_ref("conv2d_grad_input", {y, w, x}, [&](Ops& o, const Tensors& t) {
      o.conv2d_grad_input(t[0], t[1], t[2], g);
    });
    check_against_ref("conv2d_grad_weight", {y, x, dw, db}, [&](Ops& o, const Tensors& t) {
      o.conv2d_grad_weight(t[0], t[1], t[2], t[3], g);
    });
    check_against_ref("conv2d_grad_weight, no bias", {y, x, dw}, [&](Ops& o, const Tensors& t) {
      o.conv2d_grad_weight(t[0], t[1], t[2], {}, g);
    });
  }
}

TEST_CASE("cpu conv2d agrees with ref when shapes take turns") {
  Random random(10);
  const Array w = normal(random, {16, 8, 3, 3}), b = normal(random, {16});
  Arrays arrays{w, b};
  for (std::int64_t batch = 1; batch <= 40; ++batch) {  // more than are kept
    arrays.push_back(normal(random, {batch, 8, 4, 4}));
    arrays.push_back(zeros({batch, 16, 4, 4}));
  }
  check_against_ref("conv2d", arrays, [](Ops& o, const Tensors& t) {
    for (int pass = 0; pass < 2; ++pass)
      for (std::size_t i = 2; i < t.size(); i += 2) o.conv2d(t[i], t[0], t[1], t[i + 1], {3, 1});
  });
}

TEST_CASE("cpu maxpool2 agrees with ref, ties and odd sizes included") {
  Random random(11);
  for (const Shape shape : {Shape{1, 1, 2, 2}, {2, 3, 28, 28}, {1, 2, 5, 7}, {2, 1, 14, 14},
                            {1, 1, 1, 1}, {3, 2, 66, 35}}) {
    Array x = normal(random, shape);
    for (std::size_t i = 0; i < x.size(); ++i)  // few values, so many ties
      x.floats[i] = std::round(x.floats[i]);
    const Shape pooled{shape[0], shape[1], shape[2] / 2, shape[3] / 2};
    Array argmax = integers(random, pooled, 0, 1);
    check_against_ref("maxpool2 and back",
                      {x, zeros(pooled), argmax, normal(random, pooled), normal(random, shape)},
                      [](Ops& o, const Tensors& t) {
                        o.maxpool2(t[0], t[1], t[2]);
                        o.maxpool2_grad(t[3], t[2], t[4]);
                      }, 0);
  }
}

TEST_CASE("cpu softmax_cross_entropy agrees with ref") {
  Random random(12);
  struct Size { std::int64_t m, v; };
  for (const auto [m, v] : {Size{1, 1}, {1, 2}, {32, 10}, {9, 65}, {4, 5003}, {50, 256}}) {
    Array logits = normal(random, {m, v}, 3.0);
    for (std::size_t i = 0; i < logits.size(); i += 2)  // ties for the largest
      logits.floats[i] = std::round(logits.floats[i]);
    const Array targets = integers(random, {m}, -1, static_cast<std::int32_t>(v));
    std::vector<std::int64_t> correct;
    check_against_ref("apart", {logits, targets, zeros({m}), normal(random, {m, v})},
                      [&](Ops& o, const Tensors& t) {
                        correct.push_back(
                            o.softmax_cross_entropy(t[0], t[1], t[2], t[3], 0.25F));
                      });
    check_against_ref("in place", {logits, targets, zeros({m})}, [&](Ops& o, const Tensors& t) {
      correct.push_back(o.softmax_cross_entropy(t[0], t[1], t[2], t[0], 1.0F));
    });
    check_against_ref("losses only", {logits, targets, zeros({m})}, [&](Ops& o, const Tensors& t) {
      correct.push_back(o.softmax_cross_entropy(t[0], t[1], t[2], {}, 1.0F));
    });
    for (const std::int64_t count : correct) CHECK(count == correct[0]);
  }
}

TEST_CASE("cpu flat operations agree with ref") {
  Random random(13);
  for (const std::int64_t n : {1, 5, 16, 31, 1024, 10007}) {
    const Array a = normal(random, {n}), b = normal(random, {n}), c = normal(random, {n});
    Array positive = normal(random, {n});
    for (std::size_t i = 0; i < positive.size(); ++i)
      positive.floats[i] = std::abs(positive.floats[i]);
    check_against_ref("add", {a, b, c}, [](Ops& o, const Tensors& t) { o.add(t[0], t[1], t[2]); });
    check_against_ref("add in place", {a, b},
                      [](Ops& o, const Tensors& t) { o.add(t[0], t[1], t[0]); });
    check_against_ref("fill", {a}, [](Ops& o, const Tensors& t) { o.fill(t[0], 2.5F); }, 0);
    check_against_ref("scale", {a}, [](Ops& o, const Tensors& t) { o.scale(t[0], 0.3F); });
    std::vector<double> norms;
    check_against_ref("squared_norm", {a}, [&](Ops& o, const Tensors& t) {
      norms.push_back(o.squared_norm(t[0]));
    });
    for (const double norm : norms) CHECK(norm == doctest::Approx(norms[0]).epsilon(1e-12));
    for (const float momentum : {0.0F, 0.9F}) {
      check_against_ref("sgd", {a, b, c}, [&](Ops& o, const Tensors& t) {
        o.sgd(t[0], t[1], t[2], {0.1F, momentum, 0.01F, true});
        o.sgd(t[0], t[1], t[2], {0.1F, momentum, 0.01F, false});
      });
    }
    check_against_ref("sgd, no velocity", {a, b}, [](Ops& o, const Tensors& t) {
      o.sgd(t[0], t[1], {}, {0.1F, 0.0F, 0.0F, true});
    });
    for (const std::int64_t step : {1, 2, 1000}) {
      check_against_ref("adamw", {a, b, c, positive}, [&](Ops& o, const Tensors& t) {
        o.adamw(t[0], t[1], t[2], t[3], {1e-2F, 0.9F, 0.95F, 1e-8F, 0.1F, step});
      });
    }
  }
}

}  // namespace
}  // namespace covey::test
