#include "privacy/skellam.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <string>

#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr unsigned kGuideBits = 12;
constexpr unsigned kWholeBits = 126;  // the weights' sum is below this power of two

// floor(weight * numerator / denominator), both below 2^63, quotient < 2^128.
Wide128 scaled(Wide128 weight, std::uint64_t numerator, std::uint64_t denominator) {
  const Wide128 low = static_cast<Wide128>(static_cast<std::uint64_t>(weight)) * numerator;
  const Wide128 high = (weight >> 64) * numerator + (low >> 64);  // units of 2^64
  const Wide128 quotient = high / denominator;
  const Wide128 rest = (high % denominator) << 64 | static_cast<std::uint64_t>(low);
  return (quotient << 64) + rest / denominator;
}

// Weights of Poisson(numerator / denominator) from its mode outwards, until nothing is left of them.
struct Weights {
  std::vector<Wide128> down;  // mode - 1, mode - 2, ...
  std::vector<Wide128> up;    // mode, mode + 1, ...
};
Weights poisson_weights(std::uint64_t numerator, std::uint64_t denominator, Wide128 peak) {
  Weights w;
  const std::uint64_t mode = numerator / denominator;
  Wide128 weight = peak;
  for (std::uint64_t k = mode; weight > 0; ++k) {
    w.up.push_back(weight);
    weight = scaled(weight, numerator, denominator * (k + 1));
  }
  weight = peak;
  for (std::uint64_t k = mode; k > 0; --k) {
    weight = scaled(weight, denominator * k, numerator);
    if (weight == 0) break;
    w.down.push_back(weight);
  }
  return w;
}

}  // namespace

Result<Skellam> Skellam::of_variance(const NoiseVariance& variance) {
  const double sigma = std::sqrt(value_of(variance));
  if (variance.in_65536ths == 0 || sigma > kSkellamSigmaMax)
    return unexpected(ErrorCode::kInvalidArgument,
                      "Skellam noise of standard deviation " + setting_text(sigma) + " grid steps: it must be above 0 and at most " +
                          setting_text(kSkellamSigmaMax) + "; take a coarser grid, or discrete Gaussian noise");
  // The mean v / 2 as a fraction. Peak: the sum of weights is below peak * (2.6 sqrt(mean) + 2).
  const std::uint64_t denominator = 2 * kVarianceUnit;
  const auto spread = static_cast<std::uint64_t>(2.6 * sigma) + 3;
  const Weights w = poisson_weights(variance.in_65536ths, denominator, (Wide128{1} << kWholeBits) / spread);
  Skellam made;
  made.first_ = static_cast<std::int64_t>(variance.in_65536ths / denominator) - static_cast<std::int64_t>(w.down.size());
  Wide128 sum = 0;
  for (auto weight = w.down.rbegin(); weight != w.down.rend(); ++weight) made.below_.push_back(sum += *weight);
  for (const Wide128 weight : w.up) made.below_.push_back(sum += weight);
  COVEY_CHECK(sum >> kWholeBits == 0);

  // Each step away from the mode multiplies by at most 1 and drops less than one unit: entry j is short by less than
  // j, and what lies beyond the last entry J, each below its predecessor by the ratio there, by less than J^2. Twice
  // (up, down), twice again for the sum that they are divided by, and two Poisson draws make one sample.
  const double entries = static_cast<double>(std::max(w.up.size(), w.down.size()) + 1);
  made.total_variation_ = 2 * 4 * entries * entries / static_cast<double>(sum);

  unsigned bits = 0;
  while (sum >> bits != 0) ++bits;
  made.guide_shift_ = bits > kGuideBits ? bits - kGuideBits : 0;
  for (Wide128 at = 0; at < (Wide128{1} << kGuideBits); ++at)
    made.guide_.push_back(static_cast<std::uint32_t>(
        std::upper_bound(made.below_.begin(), made.below_.end(), at << made.guide_shift_) - made.below_.begin()));
  return made;
}

Fraction Skellam::poisson_up_to(std::int64_t value) const {
  if (value < first_) return {0, below_.back()};
  return {below_[static_cast<std::size_t>(std::min<std::int64_t>(value - first_, std::ssize(below_) - 1))], below_.back()};
}

std::int64_t Skellam::poisson(NoiseBits& bits) const {
  const Wide128 drawn = bits.below_wide(below_.back());
  const auto bucket = static_cast<std::size_t>(drawn >> guide_shift_);
  const auto from = below_.begin() + guide_[bucket];
  const auto to = bucket + 1 < guide_.size() ? below_.begin() + std::min<std::ptrdiff_t>(guide_[bucket + 1] + 1, std::ssize(below_)) : below_.end();
  const auto i = std::upper_bound(from, to, drawn) - below_.begin();
  return first_ + static_cast<std::int64_t>(i);
}

void Skellam::add_to(std::span<std::int64_t> out, NoiseBits& bits) const {
  for (std::int64_t& value : out)
    value = static_cast<std::int64_t>(static_cast<std::uint64_t>(value) + static_cast<std::uint64_t>(sample(bits)));
}

}  // namespace covey
