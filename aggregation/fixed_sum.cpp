#include "aggregation/fixed_sum.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "aggregation/fixed_sum_kernels.h"
#include "core/spec/setting.h"

namespace covey {
namespace fixed_sum {

Usable usable_kernels() {
#ifdef COVEY_X86_KERNELS
  return usable_of(&avx512_kernels(), &avx2_kernels(), generic_kernels());
#else
  return usable_of<Kernels>(nullptr, nullptr, generic_kernels());
#endif
}

}  // namespace fixed_sum

namespace {

constexpr int kTermBits = 32;              // |round(x * 2^shift)| <= 2^32
constexpr double kNormTolerance = 1 + 1e-5;  // a clipped update is rounded to f32
constexpr std::size_t kBlock = 1 << 16;    // elements added before it is looked whether one of them was bad

const fixed_sum::Kernels& kernels() {
  static const fixed_sum::Kernels& best = *fixed_sum::usable_kernels().sets[0];
  return best;
}

std::int32_t bits_of(float bound) { return std::bit_cast<std::int32_t>(bound); }

// The value that the coordinates' lanes add up to, in a fixed order.
double total(const double (&lanes)[fixed_sum::kLanes]) {
  double sum = 0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

std::size_t first_refused(std::span<const float> x, float bound) {
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!(std::abs(x[i]) <= bound)) return i;
  COVEY_CHECK(!"the kernels refused what is within the bound");
  return 0;
}

}  // namespace

SumScale sum_scale(const UpdateSpec& update) {
  COVEY_CHECK(update.value_max > 0);
  double bound = update.value_max;
  if (update.clip_norm > 0) bound = std::min(bound, update.clip_norm * kNormTolerance);
  int exponent = 0;
  const auto rounded = static_cast<float>(bound);
  const float fraction = std::frexp(rounded, &exponent);  // rounded = fraction * 2^exponent, fraction in [0.5, 1)
  return {rounded, kTermBits - (fraction == 0.5F ? exponent - 1 : exponent)};
}

std::int64_t weight_of(std::uint64_t examples, std::size_t cohort) {
  COVEY_CHECK(examples >= 1 && cohort >= 1 && cohort <= static_cast<std::size_t>(kWeightMax));
  const std::uint64_t most = static_cast<std::uint64_t>(kWeightMax) / std::bit_ceil(std::uint64_t{cohort});
  return static_cast<std::int64_t>(std::min(examples, most));
}

Added check_values(std::span<const float> x, const SumScale& scale) {
  double lanes[fixed_sum::kLanes] = {};
  Added result;
  if (!kernels().check(x.data(), x.size(), bits_of(scale.bound), lanes)) result.refused = first_refused(x, scale.bound);
  result.squares = total(lanes);
  return result;
}

Added add_checked(std::span<std::int64_t> sum, std::span<const float> x, std::int64_t weight, const SumScale& scale) {
  COVEY_CHECK(sum.size() == x.size() && weight >= 1 && weight <= kWeightMax);
  const double factor = std::ldexp(1.0, scale.shift);
  double lanes[fixed_sum::kLanes] = {};
  for (std::size_t at = 0; at < x.size(); at += kBlock) {
    const std::span<const float> block = x.subspan(at, std::min(kBlock, x.size() - at));
    if (kernels().check_and_add(sum.data() + at, block.data(), block.size(), {bits_of(scale.bound), factor, weight}, lanes))
      continue;
    // What was made of a bad element is taken out by the same loop that made it.
    kernels().check_and_add(sum.data() + at, block.data(), block.size(), {bits_of(scale.bound), factor, -weight}, lanes);
    subtract(sum.first(at), x.first(at), weight, scale);
    return {0, at + first_refused(block, scale.bound)};
  }
  return {total(lanes), std::nullopt};
}

void subtract(std::span<std::int64_t> sum, std::span<const float> x, std::int64_t weight, const SumScale& scale) {
  COVEY_CHECK(sum.size() == x.size());
  kernels().add(sum.data(), x.data(), x.size(), std::ldexp(1.0, scale.shift), -weight);
}

void mean_of(std::span<const std::int64_t> sum, std::int64_t weight, const SumScale& scale, std::span<double> mean) {
  COVEY_CHECK(sum.size() == mean.size() && weight >= 1 && weight <= kWeightMax);
  const double unit = std::ldexp(static_cast<double>(weight), scale.shift);  // exact
  for (std::size_t i = 0; i < sum.size(); ++i) mean[i] = static_cast<double>(sum[i]) / unit;
}

std::string refusal_of(float value, std::uint64_t index, const SumScale& scale) {
  const std::string element = "element " + std::to_string(index) + " is ";
  if (!std::isfinite(value))
    return element + (std::isnan(value) ? "NaN" : "infinite") +
           "; local training diverged, lower train.learning_rate or set train.clip_norm";
  return element + setting_text(static_cast<double>(value)) + "; update.value_max (or update.clip_norm, if less) allows " +
         setting_text(static_cast<double>(scale.bound)) + ": raise it, or lower train.learning_rate";
}

}  // namespace covey
