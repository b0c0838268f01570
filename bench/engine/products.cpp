// The matrix products of a training step, on one core: f32 against what its vector units do at most,
// bf16 in FLOP/s.
#include <algorithm>
#include <string>

#include "bench/engine/rows.h"
#include "core/base/random.h"
#include "core/tensor/arena.h"
#include "core/tensor/cpu/amx.h"
#include "core/tensor/ops.h"

namespace covey::bench {
namespace {

struct Shape3 {
  std::int64_t m, n, k;
};
constexpr Shape3 kShapes[] = {{4096, 256, 256}, {4096, 768, 256}, {4096, 1024, 256}, {4096, 256, 1024},
                              {1024, 768, 768}, {1024, 2304, 768}, {1024, 3072, 768}, {1024, 768, 3072}};

// Independent fused multiply-adds in registers: what the vector units do at most.
__attribute__((target("avx512f,avx2,fma"), optimize("O3"))) double wide_chains() {
  typedef float V __attribute__((vector_size(64)));
  V sums[16] = {};
  const V factor = V{} + 0.999F, term = V{} + 0.5F;
  for (V& sum : sums) __asm__ volatile("" : "+v"(sum));  // for all the compiler knows they differ
  for (int i = 0; i < 200'000; ++i)
    for (V& sum : sums) sum = sum * factor + term;
  float total = 0;
  for (const V& sum : sums) total += sum[0];
  return static_cast<double>(total);
}

double fma_peak_gflops() {
  if (!__builtin_cpu_supports("avx512f")) return 0;
  std::vector<double> best;
  volatile double keep = 0;
  for (int run = 0; run < 7; ++run) {
    const double begin = cpu_ms();
    keep = keep + wide_chains();
    best.push_back(200'000.0 * 16 * 32 / (1e6 * (cpu_ms() - begin)));
  }
  return *std::max_element(best.begin(), best.end());
}

enum class Way { kForward, kInput, kWeight };

struct Timed {
  double flops = 0, ms = 0;
};

// The median of a few; this thread's own time, since others may want the core.
Timed time_product(Ops& ops, Shape3 s, DType type, Way way) {
  Arena arena(static_cast<std::size_t>(s.m * (s.n + s.k) * 4 + 2 * s.n * s.k * 4 + 4096));
  const Tensor x = arena.take({s.m, s.k}, type), y = arena.take({s.m, s.n}, type);
  const Tensor w = arena.take({s.n, s.k}), dw = arena.take({s.n, s.k});
  Random random(1);
  for (float& value : w.floats()) value = static_cast<float>(random.normal());
  for (const Tensor& t : {x, y}) {
    std::vector<float> values(static_cast<std::size_t>(t.elements()));
    for (float& value : values) value = static_cast<float>(random.normal());
    ops.convert(tensor_of(std::span(values), t.shape), t);
  }
  Weight weight{w, {}};
  const std::int64_t packed = ops.packed_bytes(w.shape, type);
  Arena room(static_cast<std::size_t>(packed));
  if (packed > 0) {  // as in a step, where it is packed once
    weight.packed = room.take({packed}, DType::kU8);
    ops.pack_weight(w, type, weight.packed);
  }
  std::vector<double> times;
  for (int run = 0; run < 9; ++run) {
    const double begin = cpu_ms();
    if (way == Way::kForward) ops.linear(x, weight, {}, y);
    if (way == Way::kInput) ops.linear_grad_input(y, weight, x);
    if (way == Way::kWeight) ops.linear_grad_weight(y, x, dw, {});
    times.push_back(cpu_ms() - begin);
  }
  return {2.0 * static_cast<double>(s.m) * static_cast<double>(s.n) * static_cast<double>(s.k), median_of(times)};
}

// FLOP/s of all the shapes together, as a step does them, in GFLOP/s; `least` of one shape.
double gflops(Ops& ops, DType type, std::initializer_list<Way> ways, double& least) {
  Timed all;
  least = 1e9;
  for (const Shape3 shape : kShapes) {
    for (const Way way : ways) {
      const Timed one = time_product(ops, shape, type, way);
      all.flops += one.flops;
      all.ms += one.ms;
      least = std::min(least, one.flops / one.ms / 1e6);
    }
  }
  return all.flops / all.ms / 1e6;
}

std::string number(double value) { return std::to_string(static_cast<long>(value + 0.5)); }

}  // namespace

std::vector<Figure> engine_products() {
  const std::unique_ptr<Ops> ops = make_cpu_ops();
  const double peak = fma_peak_gflops();
  const std::string how = cpu::amx_usable() ? "by tiles" : "without tiles";
  double least = 0;
  std::vector<Figure> figures;
  const double f32 = gflops(*ops, DType::kF32, {Way::kForward, Way::kInput, Way::kWeight}, least);
  if (peak > 0)
    figures.push_back(at_least("products: f32, share of the FMA peak", 100 * f32 / peak, "%", 70,
                               number(f32) + " GFLOP/s " + how + ", least " + number(least) + "; peak " +
                                   number(peak) + "; forward, input, weight"));
  else
    figures.push_back(not_measured("products: f32, share of the FMA peak", "%", Bound::kAtLeast, 70,
                                   "this processor has no AVX-512"));
  const double forward = gflops(*ops, DType::kBf16, {Way::kForward}, least);
  figures.push_back(at_least("products: bf16 forward", forward / 1e3, "TFLOP/s", 0.9, how + ", least " + number(least) + " GFLOP/s"));
  const double backward = gflops(*ops, DType::kBf16, {Way::kInput, Way::kWeight}, least);
  figures.back().beside += "; backward " + number(backward) + " GFLOP/s, least " + number(least);
  return figures;
}

}  // namespace covey::bench
