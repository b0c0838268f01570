// Sums of updates that are the same bits in any order, on any number of threads and after any restart:
// a 64-bit integer for each parameter. An element x of weight w adds w * round(x * 2^shift), where
// ties go to the even integer; integers are associative, so that a term can also be taken out again.
//
// No overflow by construction: |x| <= bound <= 2^(32 - shift) makes |round(x * 2^shift)| <= 2^32, and
// the weights of a round sum up to at most kWeightMax = 2^30, so that every sum of any subset of
// the terms lies within 2^62.
// Error: the mean of a sum differs from the exact weighted mean by at most 2^-(shift + 1), which is
// bound * 2^-32 at most (7.5e-9 for the default bound of 64), and 2^-51 of itself.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "core/protocol/job_spec.h"

namespace covey {

inline constexpr std::int64_t kWeightMax = std::int64_t{1} << 30;  // of a round, in all

struct SumScale {
  float bound = 0;  // of |x|; beyond it an update is invalid
  int shift = 0;    // terms are counted in 2^-shift
  bool operator==(const SumScale&) const = default;
};

// The bound is update.value_max or, where it is less, update.clip_norm and its rounding: no element
// is larger than the norm.
SumScale sum_scale(const UpdateSpec& update);

// What a client's `examples` (>= 1) count in a round that asked `cohort` clients: at most 2^30 divided by
// the power of two at or above `cohort`, so that all of them together stay within kWeightMax.
std::int64_t weight_of(std::uint64_t examples, std::size_t cohort);

struct Added {
  double squares = 0;                  // of the elements; the same bits on every machine
  std::optional<std::size_t> refused;  // first element that is not within the bound, or not a number
};
// sum[i] += weight * round(x[i] * 2^shift), one pass over memory. When an element is refused nothing
// has been added. `weight` from 1 to kWeightMax; spans of one size.
Added add_checked(std::span<std::int64_t> sum, std::span<const float> x, std::int64_t weight, const SumScale& scale);
// The same check without a sum.
Added check_values(std::span<const float> x, const SumScale& scale);
// Takes out exactly what add_checked put in.
void subtract(std::span<std::int64_t> sum, std::span<const float> x, std::int64_t weight, const SumScale& scale);

// mean[i] = sum[i] / (weight * 2^shift)
void mean_of(std::span<const std::int64_t> sum, std::int64_t weight, const SumScale& scale, std::span<double> mean);

// Why `value`, element `index` of an update, was refused, with the remedy.
std::string refusal_of(float value, std::uint64_t index, const SumScale& scale);

}  // namespace covey
