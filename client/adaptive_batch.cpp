#include "client/adaptive_batch.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"

namespace covey {
namespace {

constexpr double kKept = 0.95;             // of what is known, at each step
constexpr std::uint32_t kStepsBetween = 8;  // before the batch moves again

}  // namespace

void NoiseScale::add(GradientSize small, GradientSize large) {
  COVEY_CHECK(small.examples > 0 && small.examples < large.examples);
  if (!std::isfinite(small.squared_norm) || !std::isfinite(large.squared_norm)) return;
  const double gradient = (large.examples * large.squared_norm - small.examples * small.squared_norm) / (large.examples - small.examples);
  const double noise = (small.squared_norm - large.squared_norm) / (1 / small.examples - 1 / large.examples);
  gradient_ = kKept * gradient_ + (1 - kKept) * gradient;
  noise_ = kKept * noise_ + (1 - kKept) * noise;
  any_ = true;
}

// Both sums have the same weights, so their quotient needs none.
std::optional<double> NoiseScale::value() const {
  if (!any_) return {};
  if (noise_ <= 0) return 0.0;
  return gradient_ > 0 ? noise_ / gradient_ : std::numeric_limits<double>::infinity();
}

void AdaptiveBatch::measured(GradientSize small, GradientSize large) {
  noise_.add(small, large);
  const auto scale = noise_.value();
  if (!scale || ++steps_ < kStepsBetween) return;
  std::uint32_t next = size_;
  if (*scale >= 2.0 * size_) next = std::min(most_, size_ <= most_ / 2 ? 2 * size_ : most_);
  if (*scale <= 0.5 * size_) next = std::max(least_, size_ / 2);
  if (next == size_) return;
  size_ = next;
  steps_ = 0;
}

}  // namespace covey
