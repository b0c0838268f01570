// The operations of training that are not products: against `ref`, in every type of activation.
#include "tests/core/tensor/op_case.h"

namespace covey::test {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kBf16, DType::kF16};

TEST_CASE("training ops: layer norm, and norms with a residual") {
  Random random(51);
  for (const DType type : kTypes) {
    CAPTURE(int(type));
    const double tolerance = tolerance_of(type);
    for (const std::int64_t d : {1, 5, 32, 129, 768}) {
      for (const std::int64_t m : {1, 3, 300}) {
        const Array x = as(type, normal(random, {m, d}, 2.0)), other = as(type, normal(random, {m, d}));
        const Array y = as(type, zeros({m, d})), g = normal(random, {d}), b = normal(random, {d});
        const Array mean = zeros({m}), rstd = zeros({m});
        check_against_ref("layernorm", {x, g, b, y, mean, rstd}, [](Ops& o, const Tensors& t) {
          o.layernorm(t[0], t[1], t[2], t[3], t[4], t[5]);
        }, d == 1 ? 1.0 : tolerance);  // of one element nothing remains but rounding
        check_against_ref("add_layernorm", {x, other, y, g, b, y, mean, rstd}, [](Ops& o, const Tensors& t) {
          o.add_layernorm(t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]);
        }, d == 1 ? 1.0 : tolerance);
        check_against_ref("add_rmsnorm in place", {x, other, g, y, rstd}, [](Ops& o, const Tensors& t) {
          o.add_rmsnorm(t[0], t[1], t[0], t[2], t[3], t[4]);
        }, tolerance);
        check_against_ref("layernorm_grad",
                          {x, g, constant({m}, 0.3F), constant({m}, 0.6F), other, as(type, normal(random, {m, d})), b, g},
                          [](Ops& o, const Tensors& t) {
                            o.layernorm_grad(t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7]);
                          }, tolerance);
      }
    }
  }
}

TEST_CASE("training ops: norms with an epsilon of the model's own") {
  Random random(54);
  constexpr std::int64_t kRows = 3, kWidth = 40;
  for (const double epsilon : {1e-12, 1e-6, 0.05}) {
    CAPTURE(epsilon);
    const Array x = normal(random, {kRows, kWidth}, 0.1), other = normal(random, {kRows, kWidth}, 0.1);
    const Array y = zeros({kRows, kWidth}), g = normal(random, {kWidth}), b = normal(random, {kWidth});
    const Array mean = zeros({kRows}), rstd = zeros({kRows});
    const double tolerance = tolerance_of(DType::kF32);
    check_against_ref("layernorm", {x, g, b, y, mean, rstd},
                      [&](Ops& o, const Tensors& t) { o.layernorm(t[0], t[1], t[2], t[3], t[4], t[5], epsilon); }, tolerance);
    check_against_ref("rmsnorm", {x, g, y, rstd}, [&](Ops& o, const Tensors& t) { o.rmsnorm(t[0], t[1], t[2], t[3], epsilon); },
                      tolerance);
    check_against_ref("add_layernorm", {x, other, y, g, b, y, mean, rstd}, [&](Ops& o, const Tensors& t) {
      o.add_layernorm(t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], epsilon);
    }, tolerance);
    check_against_ref("add_rmsnorm", {x, other, y, g, y, rstd}, [&](Ops& o, const Tensors& t) {
      o.add_rmsnorm(t[0], t[1], t[2], t[3], t[4], t[5], epsilon);
    }, tolerance);
  }
}

// Sizes of which some fill panels and some do not, few rows and many, and one that is added up in blocks.
TEST_CASE("training ops: linears of one x") {
  Random random(61);
  struct Size {
    std::int64_t m, k;
    std::vector<std::int64_t> widths;
  };
  for (const DType type : kTypes) {
    CAPTURE(int(type));
    for (const Size& size : {Size{3, 5, {4, 2}}, {100, 70, {64, 32, 96}}, {130, 200, {224, 224}}, {300, 256, {64, 72}},
                             {70, 33, {1024, 640, 512}}, {288, 64, {192, 192, 192}}}) {
      CAPTURE(size.m);
      const std::size_t count = size.widths.size();
      Arrays forward{as(type, normal(random, {size.m, size.k}))};
      for (const std::int64_t n : size.widths) {
        forward.push_back(normal(random, {n, size.k}));
        forward.push_back(normal(random, {n}));
        forward.push_back(as(type, zeros({size.m, n})));
      }
      check_against_ref("linears", forward, [&](Ops& o, const Tensors& t) {
        std::vector<Ops::LinearPart> parts;
        for (std::size_t i = 0; i < count; ++i) parts.push_back({t[3 * i + 1], i == 0 ? Tensor{} : t[3 * i + 2], t[3 * i + 3]});
        o.linears(t[0], parts);
      }, tolerance_of(type));
      Arrays back{as(type, normal(random, {size.m, size.k})), as(type, zeros({size.m, size.k}))};
      for (const std::int64_t n : size.widths) {
        back.push_back(as(type, normal(random, {size.m, n})));
        back.push_back(normal(random, {n, size.k}));
        back.push_back(normal(random, {n, size.k}));
        back.push_back(normal(random, {n}));
      }
      check_against_ref("their gradients", back, [&](Ops& o, const Tensors& t) {
        std::vector<Ops::GradientPart> parts;
        for (std::size_t i = 0; i < count; ++i)
          parts.push_back({t[4 * i + 2], t[4 * i + 3], t[4 * i + 4], i == 1 ? Tensor{} : t[4 * i + 5]});
        o.linears_grad_input(parts, t[1]);
        o.linears_grad_weight(parts, t[0]);
      }, 2 * tolerance_of(type));
    }
  }
}

// What the gradients held does not count, and their squares are those of what they hold then. The last is set past the
// caches, which asks for memory that begins with a line of them.
TEST_CASE("training ops: gradients of linears that are set") {
  Random random(62);
  struct Size {
    std::int64_t m, k;
    std::vector<std::int64_t> widths;
  };
  for (const DType type : kTypes) {
    CAPTURE(int(type));
    for (const Size& size : {Size{3, 5, {4, 2}}, {1100, 72, {96, 64, 96}}, {130, 200, {77}}, {48, 512, {1056}}}) {
      CAPTURE(size.m);
      Arrays arrays{as(type, normal(random, {size.m, size.k}))};
      for (const std::int64_t n : size.widths) {
        arrays.push_back(as(type, normal(random, {size.m, n})));
        arrays.push_back(normal(random, {n, size.k}));
        arrays.push_back(normal(random, {n}));
      }
      check_against_ref("set", arrays, [&](Ops& o, const Tensors& t) {
        Arena arena(1 << 22);
        std::vector<Ops::GradientPart> parts;
        for (std::size_t i = 0; i < size.widths.size(); ++i) {
          const Tensor dw = arena.take(t[3 * i + 2].shape);
          o.fill(dw, std::numeric_limits<float>::quiet_NaN());
          parts.push_back({t[3 * i + 1], dw, dw, i == 1 ? Tensor{} : t[3 * i + 3], Into::kSet});
        }
        const double squares = o.linears_grad_weight(parts, t[0]);
        double expected = 0;
        for (std::size_t i = 0; i < parts.size(); ++i) {
          expected += o.squared_norm(parts[i].dw.reshaped({parts[i].dw.elements()}));
          o.convert(parts[i].dw, t[3 * i + 2]);
        }
        CHECK(squares == doctest::Approx(expected).epsilon(1e-9));
      }, 2 * tolerance_of(type));
    }
  }
}

TEST_CASE("training ops: gelu of both kinds") {
  Random random(52);
  for (const DType type : kTypes) {
    for (const std::int64_t n : {1, 17, 5000}) {
      Array x = as(type, normal(random, {n}, 3.0));
      if (n > 100) {  // far out, where the slope is 0 or 1
        const float ends[] = {-60.0F, -12.0F, 12.0F, 60.0F, 0.0F};
        std::copy_n(ends, 5, x.floats.begin());
      }
      const Array dy = as(type, normal(random, {n})), y = as(type, zeros({n}));
      for (const Gelu kind : {Gelu::kTanh, Gelu::kExact})
        check_against_ref("gelu", {x, y, dy}, [&](Ops& o, const Tensors& t) {
          o.gelu(t[0], t[1], kind);
          o.gelu_grad(t[0], t[2], t[2], kind);
        }, tolerance_of(type));
      for (const Gelu kind : {Gelu::kTanh, Gelu::kExact})
        check_against_ref("gelu_grad with y", {x, y, y, dy}, [&](Ops& o, const Tensors& t) {
          o.gelu_grad(t[0], t[3], t[1], kind, t[2]);
          o.gelu_grad(t[0], t[3], t[1], kind, t[3]);
        }, tolerance_of(type));
    }
  }
}

TEST_CASE("training ops: dropout drops the part it was told, the same everywhere") {
  Random random(53);
  for (const DType type : kTypes)
    check_against_ref("dropout", {as(type, constant({70'001}, 1.0F)), as(type, zeros({70'001}))},
                      [](Ops& o, const Tensors& t) { o.dropout(t[0], t[1], {0.25F, 7, 3}); },
                      type == DType::kF32 ? 1e-7 : tolerance_of(type));
  const std::unique_ptr<Ops> ops = make_cpu_ops();
  std::vector<float> first;
  for (std::uint64_t stream = 0; stream < 3; ++stream) {
    Array x = constant({100'000}, 1.0F), y = zeros({100'000});
    ops->dropout(x.view(), y.view(), {0.25F, 7, stream});
    const auto dropped = std::count(y.floats.begin(), y.floats.begin() + 100'000, 0.0F);
    CHECK(dropped > 24'500);  // 25,000 +- 137 for a fair coin
    CHECK(dropped < 25'500);
    if (stream == 0) first = y.floats;
    else CHECK(y.floats != first);
  }
  Array x = constant({1000}, 1.0F), y = zeros({1000});
  ops->dropout(x.view(), y.view(), {0.0F, 1, 1});
  CHECK(y.floats == x.floats);
}

TEST_CASE("training ops: embedding with positions") {
  Random random(54);
  for (const DType type : kTypes) {
    for (const std::int64_t d : {1, 33, 300}) {
      const Array tokens = integers(random, {3, 9}, 0, 7), table = normal(random, {7, d});
      const Array positions = normal(random, {12, d}), y = as(type, normal(random, {3, 9, d}));
      check_against_ref("embedding", {tokens, table, positions, y},
                        [](Ops& o, const Tensors& t) { o.embedding_at(t[0], t[1], t[2], t[3]); }, tolerance_of(type));
      check_against_ref("its gradients", {tokens, y, table, positions}, [](Ops& o, const Tensors& t) {
        o.embedding_grad(t[0], t[1], t[2]);
        o.positions_grad(t[1], t[3]);
      });
    }
  }
}

TEST_CASE("training ops: cross-entropy with smoothing, in every type") {
  Random random(55);
  for (const DType type : kTypes) {
    for (const float smoothing : {0.0F, 0.1F}) {
      const Array logits = as(type, normal(random, {40, 300}, 3.0)), targets = integers(random, {40}, -1, 300);
      std::vector<std::int64_t> correct;
      check_against_ref("cross-entropy", {logits, targets, zeros({40}), as(type, zeros({40, 300}))},
                        [&](Ops& o, const Tensors& t) {
                          correct.push_back(o.softmax_cross_entropy(t[0], t[1], t[2], t[3], LossTerms{0.5F, smoothing}));
                        }, tolerance_of(type));
      for (const std::int64_t count : correct) CHECK(count == correct[0]);
    }
  }
}

TEST_CASE("training ops: the head's loss without its logits") {
  Random random(56);
  struct Size {
    std::int64_t m, v, d;
  };
  for (const DType type : kTypes) {
    CAPTURE(int(type));
    for (const auto [m, v, d] : {Size{1, 1, 1}, {40, 65, 24}, {20, 4500, 16}, {1100, 30, 16}}) {
      CAPTURE(v);
      const Array x = as(type, normal(random, {m, d})), w = normal(random, {v, d}, 0.5);
      Array targets = integers(random, {m}, 0, static_cast<std::int32_t>(v));
      for (std::size_t i = 3; i < targets.size(); i += 5) targets.ints[i] = -1;
      const Array losses = zeros({m}), dx = as(type, zeros({m, d})), dw = normal(random, {v, d});
      const LossTerms terms{0.7F, m == 40 ? 0.2F : 0.0F};
      check_against_ref("head_loss", {x, w, targets, losses, dx, dw}, [&](Ops& o, const Tensors& t) {
        o.head_loss({t[0], t[1], t[2], t[3], t[4], t[5], terms});
      }, 2 * tolerance_of(type));
      check_against_ref("multiplied once, gradients set", {x, w, targets, losses, dx, dw}, [&](Ops& o, const Tensors& t) {
        Arena arena(std::size_t{1} << 20);
        const Tensor kept = type == DType::kBf16 ? arena.take({std::min(m, kHeadRows), v}, type) : Tensor{};
        o.head_loss({t[0], t[1], t[2], t[3], t[4], t[5], terms, Into::kSet, kept});
      }, 2 * tolerance_of(type));
      check_against_ref("losses only", {x, w, targets, losses}, [&](Ops& o, const Tensors& t) {
        o.head_loss({t[0], t[1], t[2], t[3], {}, {}, terms});
      }, 2 * tolerance_of(type));
    }
  }
}

TEST_CASE("training ops: depth-wise convolution") {
  Random random(57);
  struct Size {
    std::int64_t batch, channels, height, width, kernel, padding;
  };
  for (const auto s : {Size{1, 1, 1, 1, 1, 0}, {2, 3, 8, 7, 3, 1}, {1, 5, 6, 20, 5, 2}, {3, 2, 5, 5, 4, 1}, {1, 2, 3, 2, 3, 2}}) {
    const std::int64_t shrink = s.kernel - 1 - 2 * s.padding;
    const Array x = normal(random, {s.batch, s.channels, s.height, s.width});
    const Array w = normal(random, {s.channels, 1, s.kernel, s.kernel}), b = normal(random, {s.channels});
    const Array y = normal(random, {s.batch, s.channels, s.height - shrink, s.width - shrink});
    const ConvGeometry g{s.kernel, s.padding};
    check_against_ref("depthwise", {x, w, b, y},
                      [&](Ops& o, const Tensors& t) { o.depthwise_conv2d(t[0], t[1], t[2], t[3], g); });
    check_against_ref("gradients", {y, x, w, x, w, b}, [&](Ops& o, const Tensors& t) {
      o.depthwise_conv2d_grad_input(t[0], t[2], t[3], g);
      o.depthwise_conv2d_grad_weight(t[0], t[1], t[4], t[5], g);
    });
  }
}

TEST_CASE("training ops: optimizers with all their settings") {
  Random random(58);
  for (const std::int64_t n : {1, 31, 1024, 70'001}) {
    const Array p = normal(random, {n}), g = normal(random, {n}), m = normal(random, {n});
    Array v = normal(random, {n});
    for (float& value : v.floats) value = value == kGuardValue ? value : std::abs(value);
    check_against_ref("adamw with a shadow", {p, g, m, v, as(DType::kBf16, zeros({n}))}, [](Ops& o, const Tensors& t) {
      o.adamw(t[0], t[1], t[2], t[3], {1e-2F, 0.9F, 0.95F, 1e-8F, 0.1F, 3, 0.5F}, t[4]);
    }, 1e-2);
    check_against_ref("adamw", {p, g, m, v}, [](Ops& o, const Tensors& t) {
      o.adamw(t[0], t[1], t[2], t[3], {1e-2F, 0.9F, 0.95F, 1e-8F, 0.1F, 3, 0.5F});
    });
    check_against_ref("nesterov", {p, g, m}, [](Ops& o, const Tensors& t) {
      o.sgd(t[0], t[1], t[2], {0.1F, 0.9F, 0.01F, true, true, 0.5F});
      o.sgd(t[0], t[1], t[2], {0.1F, 0.9F, 0.01F, false, true, 0.5F});
    });
    check_against_ref("lion", {p, g, m}, [](Ops& o, const Tensors& t) {
      o.lion(t[0], t[1], t[2], {1e-3F, 0.9F, 0.99F, 0.1F, 2.0F});
    });
  }
  for (const Shape shape : {Shape{1, 1}, {8, 8}, {40, 24}, {24, 70}}) {
    const Array p = normal(random, shape), g = normal(random, shape), m = normal(random, shape, 0.1);
    for (const bool nesterov : {false, true})
      check_against_ref("muon", {p, g, m}, [&](Ops& o, const Tensors& t) {
        o.muon(t[0], t[1], t[2], {0.02F, 0.95F, 0.1F, nesterov, 1.0F});
      }, 1e-4);
  }
}

TEST_CASE("training ops: muon's update is nearly orthogonal") {
  Random random(59);
  Array p = zeros({12, 30}), g = normal(random, {12, 30}), m = zeros({12, 30});
  make_ref_ops()->muon(p.view(), g.view(), m.view(), {1.0F, 0.0F, 0.0F, false, 1.0F});
  double trace = 0;  // the squares of 12 singular values, each between 0.6 and 1.3
  for (std::size_t i = 0; i < p.size(); ++i) trace += double{p.floats[i]} * p.floats[i];
  CHECK(trace > 12 * 0.36);
  CHECK(trace < 12 * 1.69);
}

}  // namespace
}  // namespace covey::test
