#include "privacy/discrete_gaussian.h"

#include <cmath>
#include <string>

#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::uint64_t kVarianceMax = static_cast<std::uint64_t>(kNoiseSigmaMax * kNoiseSigmaMax) * kVarianceUnit;

std::uint64_t floor_sqrt(std::uint64_t v) {
  auto root = static_cast<std::uint64_t>(std::sqrt(static_cast<double>(v)));
  while (root * root > v) --root;
  while ((root + 1) * (root + 1) <= v) ++root;
  return root;
}

Error out_of_bounds(double variance) {
  return {ErrorCode::kInvalidArgument, "a noise variance of " + setting_text(variance) + " grid steps squared: it must be 2^-16 to 2^40; " +
                                           (variance > 1 ? "take a coarser grid" : "take a finer grid, or more noise")};
}

}  // namespace

Result<NoiseVariance> noise_variance(double variance) {
  const double units = std::ceil(variance * static_cast<double>(kVarianceUnit));
  if (!(units >= 1) || !(variance <= kNoiseSigmaMax * kNoiseSigmaMax)) return unexpected(out_of_bounds(variance));
  return NoiseVariance{static_cast<std::uint64_t>(units)};
}

Result<void> check_variance(const NoiseVariance& variance) {
  if (variance.in_65536ths == 0 || variance.in_65536ths > kVarianceMax) return unexpected(out_of_bounds(value_of(variance)));
  return {};
}

DiscreteGaussian::DiscreteGaussian(const NoiseVariance& variance)
    : variance_(variance.in_65536ths), scale_(floor_sqrt(variance.in_65536ths / kVarianceUnit) + 1) {
  COVEY_CHECK(check_variance(variance));
  magnitude_max_ = 64 * scale_;
  // (|y| - v/t)^2 / (2 v) with v = V / U: (|y| t U - V)^2 / (2 V U t^2).
  denominator_ = static_cast<Wide128>(2) * variance_ * kVarianceUnit * scale_ * scale_;
}

std::int64_t DiscreteGaussian::sample(NoiseBits& bits) const {
  for (;;) {
    // Algorithm 2: the discrete Laplace of scale t.
    const std::uint64_t within = bits.below(scale_);
    if (!bits.bernoulli_exp({within, scale_})) continue;
    std::uint64_t wholes = 0;
    while (wholes < 64 && bits.bernoulli_exp({1, 1})) ++wholes;
    const std::uint64_t magnitude = within + scale_ * wholes;
    const bool negative = bits.coin();
    if ((negative && magnitude == 0) || magnitude >= magnitude_max_) continue;
    // Algorithm 3: accept.
    const std::uint64_t reached = magnitude * scale_ * kVarianceUnit;  // below 2^6 2^20 2^20 2^16 and a little
    const std::uint64_t apart = reached > variance_ ? reached - variance_ : variance_ - reached;
    if (!bits.bernoulli_exp({static_cast<Wide128>(apart) * apart, denominator_})) continue;
    return negative ? -static_cast<std::int64_t>(magnitude) : static_cast<std::int64_t>(magnitude);
  }
}

void DiscreteGaussian::add_to(std::span<std::int64_t> out, NoiseBits& bits) const {
  for (std::int64_t& value : out)
    value = static_cast<std::int64_t>(static_cast<std::uint64_t>(value) + static_cast<std::uint64_t>(sample(bits)));
}

}  // namespace covey
