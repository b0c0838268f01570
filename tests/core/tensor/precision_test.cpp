// Activations stored in bf16 and f16, and matrix products by tiles: against `ref`, whose sums are exact.
#include "core/tensor/cpu/amx.h"
#include "tests/core/tensor/op_case.h"

namespace covey::test {
namespace {

constexpr DType kTypes[] = {DType::kF32, DType::kBf16, DType::kF16};

struct Size {
  std::int64_t m, n, k;
};

TEST_CASE("precision: linear and its gradients") {
  Random random(41);
  for (const DType type : kTypes) {
    CAPTURE(int(type));
    for (const auto [m, n, k] : {Size{1, 1, 1}, {3, 5, 2}, {16, 16, 16}, {33, 31, 65}, {64, 96, 128}, {17, 200, 40},
                                 {130, 40, 70},
                                 {130, 150, 70}, {200, 128, 33},
                                 {32, 512, 48}, {32, 80, 1100}, {13, 150, 1061}, {29, 421, 70}}) {
      const Array x = as(type, normal(random, {m, k})), y = as(type, normal(random, {m, n}));
      const Array w = normal(random, {n, k}), b = normal(random, {n}), dw = normal(random, {n, k});
      const double tolerance = tolerance_of(type);
      check_against_ref("linear", {x, w, b, y}, [](Ops& o, const Tensors& t) { o.linear(t[0], t[1], t[2], t[3]); },
                        tolerance);
      check_against_ref("linear_grad_input", {y, w, x},
                        [](Ops& o, const Tensors& t) { o.linear_grad_input(t[0], t[1], t[2]); }, tolerance);
      // Both operands are exact here, and sums are f32.
      check_against_ref("linear_grad_weight", {y, x, dw, b},
                        [](Ops& o, const Tensors& t) { o.linear_grad_weight(t[0], t[1], t[2], t[3]); });
      check_against_ref("linear_first_grad_weight", {y, x, dw, b},
                        [](Ops& o, const Tensors& t) {
                          const double squares = o.linear_first_grad_weight(t[0], t[1], t[2], t[3]);
                          CHECK(squares == doctest::Approx(o.squared_norm(t[2].reshaped({t[2].elements()}))));
                        });
      if (type == DType::kF32) continue;
      check_against_ref("linear to f32", {x, w, zeros({m, n})},
                        [](Ops& o, const Tensors& t) { o.linear(t[0], t[1], {}, t[2]); });
    }
  }
}

TEST_CASE("precision: a product deeper than one block, and of more columns than one") {
  Random random(42);
  for (const DType type : {DType::kF32, DType::kBf16}) {
    CAPTURE(int(type));
    const double tolerance = tolerance_of(type);
    const Array x = as(type, normal(random, {130, 2100})), w = normal(random, {125, 2100}, 0.05);
    check_against_ref("deep", {x, w, normal(random, {125}), as(type, zeros({130, 125}))},
                      [](Ops& o, const Tensors& t) { o.linear(t[0], t[1], t[2], t[3]); }, tolerance);
    const Array v = normal(random, {4200, 24}), u = as(type, normal(random, {70, 24}));
    check_against_ref("wide", {u, v, as(type, zeros({70, 4200}))},
                      [](Ops& o, const Tensors& t) { o.linear(t[0], t[1], {}, t[2]); }, tolerance);
  }
}

TEST_CASE("precision: f32 by tiles is as exact as f32") {
  if (!cpu::amx_usable()) return;
  Random random(43);
  const std::int64_t m = 160, n = 150, k = 700;
  Array x = normal(random, {m, k}), w = normal(random, {n, k}), exact = zeros({m, n}), tiles = exact, vectors = exact;
  for (std::size_t i = 0; i < x.size(); ++i) x.floats[i] *= std::exp2(static_cast<float>(i % 21) - 10.0F);
  make_ref_ops()->linear(x.view(), w.view(), {}, exact.view());
  const cpu::Kernels& kernels = *cpu::usable_kernels().sets[0];
  CpuOps(kernels, Tiles::kWhereUsable).linear(x.view(), w.view(), {}, tiles.view());
  CpuOps(kernels, Tiles::kNever).linear(x.view(), w.view(), {}, vectors.view());
  const double by_tiles = relative_difference(tiles, exact), by_vectors = relative_difference(vectors, exact);
  CHECK(by_tiles <= 1e-6);
  CHECK(by_tiles <= 4 * by_vectors);
}

TEST_CASE("precision: a packed weight gives the bits of one that is not, where both use tiles") {
  Random random(44);
  const std::unique_ptr<Ops> ops = make_cpu_ops();
  for (const DType type : kTypes) {
    Array x = as(type, normal(random, {170, 130})), w = normal(random, {140, 130}), y = as(type, zeros({170, 140}));
    Array dx = as(type, zeros({170, 130})), again = y, dx_again = dx;
    const std::int64_t bytes = ops->packed_bytes(w.shape, type);
    Arena arena(static_cast<std::size_t>(bytes));
    const Tensor packed = bytes == 0 ? Tensor{} : arena.take({bytes}, DType::kU8);
    if (bytes > 0) ops->pack_weight(w.view(), type, packed);
    const Tensor xt = x.view(), wt = w.view(), yt = y.view(), again_t = again.view();
    ops->linear(xt, wt, {}, yt);
    ops->linear(xt, Weight{wt, packed}, {}, again_t);
    const Tensor dxt = dx.view(), dx_again_t = dx_again.view();
    ops->linear_grad_input(yt, wt, dxt);
    ops->linear_grad_input(yt, Weight{wt, packed}, dx_again_t);
    for (Array* array : {&y, &again, &dx, &dx_again}) array->read_back();
    CHECK(y.floats == again.floats);
    CHECK(dx.floats == dx_again.floats);
  }
}

TEST_CASE("precision: a weight frozen in bf16 or in bytes") {
  Random random(45);
  for (const DType type : kTypes) {
    const Array x = as(type, normal(random, {40, 50})), y = as(type, normal(random, {40, 33}));
    const Array w = as(DType::kBf16, normal(random, {33, 50}));
    check_against_ref("bf16", {x, w, y, x}, [](Ops& o, const Tensors& t) {
      o.linear(t[0], t[1], {}, t[2]);
      o.linear_grad_input(t[2], t[1], t[3]);
    }, 2 * tolerance_of(type));
  }
  Array w = normal(random, {33, 50}), scales = zeros({33});
  std::fill_n(w.floats.begin(), 50, 0.0F);  // a row of zeros has no scale
  std::vector<std::int8_t> codes(33 * 50);
  const Tensor i8{codes.data(), {33, 50}, DType::kI8, Device::kCpu};
  for (const DType type : kTypes) {
    const Array x = as(type, normal(random, {40, 50})), y = as(type, zeros({40, 33}));
    check_against_ref("i8", {x, w, scales, y, x}, [&](Ops& o, const Tensors& t) {
      o.quantize_rows(t[1], i8, t[2]);
      o.linear_i8(t[0], i8, t[2], {}, t[3]);
      o.linear_i8_grad_input(t[3], i8, t[2], t[4]);
    }, 2 * tolerance_of(type));
  }
  for (std::size_t i = 0; i < w.size(); ++i) {  // the codes are those of the last run
    make_ref_ops()->quantize_rows(w.view(), i8, scales.view());
    CHECK(std::abs(w.floats[i] - static_cast<float>(codes[i]) * scales.floats[i / 50]) <= 0.501F * scales.floats[i / 50]);
    if (i == 60) break;
  }
}

TEST_CASE("precision: rows and elements") {
  Random random(46);
  for (const DType type : kTypes) {
    CAPTURE(int(type));
    const double tolerance = tolerance_of(type);
    for (const std::int64_t d : {1, 7, 16, 65, 256}) {
      const std::int64_t m = 140;
      const Array x = as(type, normal(random, {m, d})), y = as(type, normal(random, {m, d}));
      const Array dx = as(type, normal(random, {m, d})), g = normal(random, {d}), rstd = zeros({m});
      check_against_ref("rmsnorm", {x, g, y, rstd},
                        [](Ops& o, const Tensors& t) { o.rmsnorm(t[0], t[1], t[2], t[3]); }, tolerance);
      check_against_ref("rmsnorm_grad", {x, g, constant({m}, 0.7F), y, dx, g}, [](Ops& o, const Tensors& t) {
        o.rmsnorm_grad(t[0], t[1], t[2], t[3], t[4], t[5]);
      }, tolerance);
      check_against_ref("swiglu", {x, y, dx, y, y}, [](Ops& o, const Tensors& t) {
        o.swiglu_grad(t[0], t[1], t[2], t[3], t[4]);
        o.swiglu(t[0], t[1], t[2]);
      }, tolerance);
      check_against_ref("swiglu once more", {x, y, dx, y, y}, [](Ops& o, const Tensors& t) {
        o.swiglu_grad(t[0], t[1], t[2], t[3], t[4], t[2]);
      }, tolerance);
      check_against_ref("relu and add", {x, y, dx}, [](Ops& o, const Tensors& t) {
        o.add(t[0], t[1], t[2]);
        o.relu_grad(t[0], t[1], t[1]);
        o.relu(t[0], t[0]);
      }, tolerance);
      check_against_ref("to f32 and back", {x, rstd, normal(random, {m, d}), as(DType::kF16, y), as(DType::kBf16, y)},
                        [](Ops& o, const Tensors& t) {
                          o.convert(t[0], t[2]);
                          o.convert(t[0], t[3]);
                          o.convert(t[3], t[4]);
                        }, 0);
    }
    const Array q = as(type, normal(random, {2, 9, 3, 10}));
    check_against_ref("rope", {q}, [](Ops& o, const Tensors& t) { o.rope(t[0], 1); }, tolerance);
  }
}

TEST_CASE("precision: attention, also of grouped queries") {
  Random random(47);
  struct Heads {
    std::int64_t batch, length, heads, kv_heads, size;
  };
  for (const DType type : kTypes) {
    CAPTURE(int(type));
    for (const Heads s : {Heads{1, 1, 1, 1, 2}, {2, 33, 4, 2, 16}, {1, 70, 6, 1, 20}, {1, 100, 2, 2, 64},
                          {1, 16, 1, 1, 16}, {1, 300, 2, 1, 48}, {2, 32, 1, 1, 33}}) {
      const Shape many{s.batch, s.length, s.heads, s.size}, few{s.batch, s.length, s.kv_heads, s.size};
      const Array q = as(type, normal(random, many, 1.5)), k = as(type, normal(random, few, 1.5));
      const Array v = as(type, normal(random, few)), dy = as(type, normal(random, many));
      const Array y = as(type, zeros(many)), kv = as(type, zeros(few)), lse = zeros({s.batch, s.heads, s.length});
      check_against_ref("attention", {q, k, v, y, lse, dy, y, kv, kv}, [](Ops& o, const Tensors& t) {
        o.attention(t[0], t[1], t[2], t[3], t[4]);
        o.attention_grad(t[0], t[1], t[2], t[3], t[4], t[5], t[6], t[7], t[8]);
      }, type == DType::kF32 ? 2e-5 : 2 * tolerance_of(type));
    }
  }
}

TEST_CASE("precision: convolution and pooling") {
  Random random(48);
  struct Shapes {
    std::int64_t batch, in, out, height, width, kernel, padding;
  };
  for (const DType type : kTypes) {
    CAPTURE(int(type));
    // By tiles where there are any, but for the second: few planes in and many, more out than a panel, rows
    // longer than a tile, all paddings, more images than strips, and more than are packed at once.
    for (const auto s : {Shapes{2, 1, 8, 12, 12, 5, 2}, {3, 3, 5, 7, 9, 3, 1}, {1, 16, 32, 14, 14, 5, 2},
                         {9, 33, 40, 9, 7, 3, 1}, {5, 17, 9, 6, 40, 3, 0}, {2, 20, 33, 5, 6, 3, 2},
                         {6, 64, 70, 5, 5, 1, 0}, {3, 3, 64, 20, 33, 5, 2}}) {
      CAPTURE(s.in);
      const ConvGeometry g{s.kernel, s.padding};
      const std::int64_t shrink = s.kernel - 1 - 2 * s.padding;
      const Array x = as(type, normal(random, {s.batch, s.in, s.height, s.width}));
      const Array w = normal(random, {s.out, s.in, s.kernel, s.kernel}), b = normal(random, {s.out});
      const Array y = as(type, normal(random, {s.batch, s.out, s.height - shrink, s.width - shrink}));
      check_against_ref("conv2d", {x, w, b, y}, [&](Ops& o, const Tensors& t) { o.conv2d(t[0], t[1], t[2], t[3], g); },
                        tolerance_of(type));
      check_against_ref("conv2d gradients", {y, x, w, x, w, b}, [&](Ops& o, const Tensors& t) {
        o.conv2d_grad_input(t[0], t[2], t[3], g);
        o.conv2d_grad_weight(t[0], t[1], t[4], t[5], g);
      }, tolerance_of(type));
      const Shape less{s.batch, s.out, y.shape[2] / 2, y.shape[3] / 2};
      for (const std::unique_ptr<Ops>& ops : {make_ref_ops(), make_cpu_ops()}) {  // bit for bit its parts
        Array in = x, conv = y, apart = as(type, zeros(less)), fused = apart, weight = w, bias = b;
        Array place = integers(random, less, 0, 1), fused_place = place;
        const Tensor xt = in.view(), convt = conv.view(), at = apart.view(), ft = fused.view();
        ops->conv2d(xt, weight.view(), bias.view(), convt, g);
        ops->maxpool2(convt, at, place.view());
        ops->relu(at, at);
        ops->conv2d_pool(xt, weight.view(), bias.view(), convt, ft, fused_place.view(), g);
        for (Array* array : {&apart, &fused}) array->read_back();
        CHECK(apart.floats == fused.floats);
        CHECK(place.ints == fused_place.ints);
      }
      const Array dy = as(type, normal(random, less)), pooled = as(type, normal(random, less));
      check_against_ref("conv2d_pool gradients", {x, w, b, y, pooled, integers(random, less, 0, 1), dy, w, b, x},
                        [&](Ops& o, const Tensors& t) {  // windows of ref's, so that equals are not chosen apart
                          make_ref_ops()->conv2d_pool(t[0], t[1], t[2], t[3], t[4], t[5], g);
                          o.fill(t[3], 0);
                          o.conv2d_pool_grad({t[0], t[1], t[4], t[5], t[6], t[3], t[7], t[8], t[9], g});
                          o.fill(t[3], 0), o.fill(t[6], 0);  // what is left there is nobody's matter
                        }, tolerance_of(type));
      check_against_ref("conv2d_pool examples' gradients",
                        {x, w, b, y, pooled, integers(random, less, 0, 1), dy, w, b, x, normal(random, {s.batch}), zeros({s.batch}),
                         normal(random, {s.batch, conv_example_floats(w.shape)})},
                        [&](Ops& o, const Tensors& t) {  // what is in the memory before does not matter
                          make_ref_ops()->conv2d_pool(t[0], t[1], t[2], t[3], t[4], t[5], g);
                          o.fill(t[3], 0);
                          const Ops::ConvPoolGrad grad{t[0], t[1], t[4], t[5], t[6], t[3], t[7], t[8], t[9], g};
                          o.conv2d_pool_example_grads(grad, t[12], t[11]);
                          o.add_conv_examples(grad, t[12], t[10]);
                          o.fill(t[3], 0), o.fill(t[6], 0), o.fill(t[12], 0);
                        }, tolerance_of(type));
      const Shape half{s.batch, s.in, s.height / 2, s.width / 2};
      check_against_ref("maxpool2", {x, as(type, zeros(half)), integers(random, half, 0, 1), as(type, normal(random, half)), x},
                        [](Ops& o, const Tensors& t) {
                          o.maxpool2(t[0], t[1], t[2]);
                          o.maxpool2_grad(t[3], t[2], t[4]);
                        }, 0);
    }
  }
}

}  // namespace
}  // namespace covey::test
