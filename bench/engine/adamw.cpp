// AdamW over flat buffers reads four arrays and writes three: against the triad a = b + s c, which is
// what the memory gives, in bytes per second, in turn. The triad moves 16 bytes an element: a line that
// is only written is read first.
#include <string>

#include "bench/engine/rows.h"
#include "core/tensor/arena.h"
#include "core/tensor/ops.h"

namespace covey::bench {
namespace {

constexpr std::int64_t kParameters = 32'000'000;  // far more than the caches hold
constexpr int kRuns = 7;

double triad_bytes_per_ms(Tensor a, Tensor b, Tensor c) {
  float* to = a.f32();
  const float *x = b.f32(), *y = c.f32();
  const double begin = cpu_ms();
  for (std::int64_t i = 0; i < kParameters; ++i) to[i] = x[i] + 3.0F * y[i];
  return 16.0 * static_cast<double>(kParameters) / (cpu_ms() - begin);
}

}  // namespace

std::vector<Figure> engine_adamw() {
  Arena arena(static_cast<std::size_t>(kParameters) * 18 + 4096);
  const Tensor p = arena.take({kParameters}), g = arena.take({kParameters}), m = arena.take({kParameters}),
               v = arena.take({kParameters}), shadow = arena.take({kParameters}, DType::kBf16);
  const std::unique_ptr<Ops> ops = make_cpu_ops();
  ops->fill(g, 0.01F);
  std::vector<double> triad, plain, shadowed, ratios;
  for (int run = 0; run < kRuns; ++run) {
    const AdamWStep step{1e-3F, 0.9F, 0.95F, 1e-8F, 0.1F, run + 1};
    triad.push_back(triad_bytes_per_ms(p, m, v));
    double begin = cpu_ms();
    ops->adamw(p, g, m, v, step);
    plain.push_back(28.0 * static_cast<double>(kParameters) / (cpu_ms() - begin));
    begin = cpu_ms();
    ops->adamw(p, g, m, v, step, shadow);
    shadowed.push_back(30.0 * static_cast<double>(kParameters) / (cpu_ms() - begin));
    ratios.push_back(100 * plain.back() / triad.back());
  }
  const auto rate = [](const std::vector<double>& of) { return std::to_string(median_of(of) / 1e6).substr(0, 5); };
  return {at_least("adamw: share of the triad's bandwidth", median_of(ratios), "%", 80,
                   "adamw " + rate(plain) + ", with a bf16 copy " + rate(shadowed) + ", triad " + rate(triad) + " GB/s, one thread")};
}

}  // namespace covey::bench
