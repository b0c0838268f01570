// The inner loops of fixed sums, once for each instruction set: all give the same bits. This header
// is compiled with that set's flags, so it includes nothing whose inline functions others share.
#pragma once
#include <cstddef>
#include <cstdint>

#include "core/base/cpu.h"

namespace covey::fixed_sum {

inline constexpr std::size_t kLanes = 8;

struct Term {
  std::int32_t bound_bits = 0;
  double scale = 0;
  std::int64_t weight = 0;
};

struct Kernels {
  const char* name;
  // Whether all |x[i]| <= the number whose bits are `bound_bits`; adds x[i]^2 to squares[i % kLanes].
  bool (*check)(const float* x, std::size_t count, std::int32_t bound_bits, double* squares);
  // sum[i] += weight * round(x[i] * scale), modulo 2^64. A term that is no number is whatever the set makes of
  // it: the same for the same element and weight, so that the opposite weight takes it out again.
  void (*add)(std::int64_t* sum, const float* x, std::size_t count, double scale, std::int64_t weight);
  // Both in one pass, so that the memory never waits for the check. Adds also where the answer is no.
  bool (*check_and_add)(std::int64_t* sum, const float* x, std::size_t count, const Term& term, double* squares);
};

using Usable = covey::Usable<Kernels>;
Usable usable_kernels();

const Kernels& generic_kernels();
const Kernels& avx2_kernels();    // only where the build has them
const Kernels& avx512_kernels();

}  // namespace covey::fixed_sum
