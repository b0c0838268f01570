#include "coordinator/cli/product_peak.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/base/random.h"
#include "core/tensor/arena.h"

namespace covey::cli {
namespace {

struct Sizes {
  std::int64_t m, n, k;
};
// From what fits the caches of a core to the inner layer of a GPT-2: which is fastest differs by machine.
constexpr std::array kSizes{Sizes{512, 512, 512}, Sizes{1024, 1024, 1024}, Sizes{1024, 3072, 768}};
constexpr double kSecondsEach = 0.12;
constexpr int kRunsLeast = 3;

double fastest(Ops& ops, Clock& clock, Sizes s, DType type) {
  Arena arena(static_cast<std::size_t>((s.m + s.n) * s.k + s.m * s.n) * sizeof(float) + 1024);
  const Tensor x = arena.take({s.m, s.k}, type), y = arena.take({s.m, s.n}, type), w = arena.take({s.n, s.k});
  Random random(1);  // products of zeros are faster than any that a step has
  std::vector<float> values(static_cast<std::size_t>(s.m * s.k));
  for (float& value : values) value = static_cast<float>(random.normal());
  for (float& value : w.floats()) value = static_cast<float>(random.normal());
  ops.convert(tensor_of(values, x.shape), x);
  const std::int64_t packed = ops.packed_bytes(w.shape, type);
  Arena room(static_cast<std::size_t>(packed));
  Weight weight{w, {}};
  if (packed > 0) {
    weight.packed = room.take({packed}, DType::kU8);
    ops.pack_weight(w, type, weight.packed);
  }
  const Instant begin = clock.now();
  double least = 0;
  for (int run = 0; run < kRunsLeast || seconds(clock.now() - begin) < kSecondsEach; ++run) {
    const Instant start = clock.now();
    ops.linear(x, weight, {}, y);
    const double took = seconds(clock.now() - start);
    if (took > 0 && (least == 0 || took < least)) least = took;
  }
  return least > 0 ? 2.0 * static_cast<double>(s.m * s.n * s.k) / least : 0;
}

}  // namespace

ProductPeak measure_products(Ops& ops, Clock& clock, ProductPeak before) {
  ProductPeak peak = before;
  for (const Sizes sizes : kSizes) {
    peak.f32 = std::max(peak.f32, fastest(ops, clock, sizes, DType::kF32));
    peak.bf16 = std::max(peak.bf16, fastest(ops, clock, sizes, DType::kBf16));
  }
  return peak;
}

}  // namespace covey::cli
