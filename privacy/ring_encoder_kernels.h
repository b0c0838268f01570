// The inner loop of encoding, once for each instruction set: all give the same bits. This header is
// compiled with that set's flags, so it includes nothing whose inline functions others share.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/base/cpu.h"

namespace covey::ring_encoder {

inline constexpr std::size_t kLanes = 8;

struct Scaling {
  double range;   // |x| is clamped to this
  double factor;
};
struct Counted {
  std::uint64_t clamped;  // elements beyond the range
  bool finite;            // all of them
};
struct Kernels {
  const char* name;
  // out[i] = round(clamp(x[i]) * factor + (random[i] + 1/2) / 2^32), where random[i] counts from -2^31.
  Counted (*encode)(const float* x, const std::int32_t* random, std::size_t count, const Scaling& scaling,
                    std::int64_t* out);
};

using Usable = covey::Usable<Kernels>;
Usable usable_kernels();

const Kernels& generic_kernels();
const Kernels& avx2_kernels();    // only where the build has them
const Kernels& avx512_kernels();

}  // namespace covey::ring_encoder
