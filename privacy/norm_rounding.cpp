#include "privacy/norm_rounding.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/base/check.h"
#include "core/spec/setting.h"
#include "privacy/ring.h"

namespace covey {
namespace {

constexpr double kNormMax = 2147483648.0;  // 2^31: a square fits 62 bits, and two of them 63

bool positive(double v) { return std::isfinite(v) && v > 0; }

// One rounding; false where its norm is above the bound.
bool round_once(std::span<const float> x, double per_step, std::uint64_t squared_max, NoiseBits& bits,
                std::span<std::int64_t> out) {
  std::uint64_t squared = 0;
  std::uint64_t chance = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    chance = i % 2 == 0 ? bits.word() : chance >> 32;
    const double exact = static_cast<double>(x[i]) * per_step;
    if (!(std::fabs(exact) < kNormMax)) return false;  // NaN too
    const double whole = std::floor(exact);
    const auto threshold = static_cast<std::uint64_t>((exact - whole) * 4294967296.0);
    const std::int64_t rounded = static_cast<std::int64_t>(whole) + ((chance & 0xffffffffU) < threshold ? 1 : 0);
    out[i] = rounded;
    squared += static_cast<std::uint64_t>(rounded * rounded);
    if (squared > squared_max) return false;
  }
  return true;
}

}  // namespace

Result<NormBound> norm_bound(const RoundingTerms& t) {
  const auto wrong = [](const char* name, double value, const char* bound) {
    return unexpected(ErrorCode::kInvalidArgument, std::string("rounding: ") + name + " = " + setting_text(value) + " must be " + bound);
  };
  if (!positive(t.clip)) return wrong("clip", t.clip, "a finite length above 0; set update.clip_norm");
  if (!positive(t.weight_max)) return wrong("weight_max", t.weight_max, "finite and above 0");
  if (!positive(t.grid)) return wrong("grid", t.grid, "a finite length above 0");
  if (!(t.bias > 0 && t.bias < 1)) return wrong("bias", t.bias, "above 0 and below 1");
  if (t.dimension == 0 || t.dimension > kRingValuesMax)
    return wrong("dimension", static_cast<double>(t.dimension), "1 to 2^36");
  const double c = t.weight_max * t.clip / t.grid;
  const double d = static_cast<double>(t.dimension);
  const double squared = std::min((c + std::sqrt(d)) * (c + std::sqrt(d)),
                                  c * c + d / 4 + std::sqrt(2 * std::log(1 / t.bias)) * (c + std::sqrt(d) / 2));
  if (!(squared < kNormMax * kNormMax))
    return wrong("grid", t.grid, "coarser: the norm bound would reach 2^31 steps");
  const double whole = std::floor(squared);
  const double l2 = std::sqrt(whole);
  return NormBound{static_cast<std::uint64_t>(whole), l2, l2 * std::min(std::sqrt(d), l2)};
}

Rounded round_within(std::span<const float> x, double grid, const NormBound& bound, NoiseBits& bits,
                     std::span<std::int64_t> out) {
  COVEY_CHECK(x.size() == out.size() && positive(grid) && bound.squared < (std::uint64_t{1} << 62));
  for (unsigned attempt = 0; attempt < kRoundingTries; ++attempt)
    if (round_once(x, 1 / grid, bound.squared, bits, out)) return Rounded::kExactly;
  std::fill(out.begin(), out.end(), 0);
  return Rounded::kZeroVector;
}

double coordinate_deviation(const WrapTerms& t) {
  const double n = t.members;
  const double shared = t.clip * n / t.grid;
  const double noise = t.local_noise / t.grid;
  return std::sqrt(shared * shared / static_cast<double>(t.dimension) + (0.25 + noise * noise) * n);
}

double wrap_margin(const WrapTerms& terms, unsigned width) {
  return std::ldexp(1.0, static_cast<int>(width) - 1) / coordinate_deviation(terms);
}

double wrap_chance(const WrapTerms& terms, unsigned width) { return std::erfc(wrap_margin(terms, width) / std::sqrt(2.0)); }

Result<unsigned> ring_width_for(const WrapTerms& t, double kappa) {
  if (!positive(t.clip) || !positive(t.grid) || !(t.local_noise >= 0) || !std::isfinite(t.local_noise) || t.members == 0 || t.dimension == 0)
    return unexpected(ErrorCode::kInvalidArgument, "a ring's width: clip and grid must be above 0, local_noise at least 0, members and dimension at least 1");
  if (!(kappa >= kWrapMarginMin))
    return unexpected(ErrorCode::kInvalidArgument, "kappa = " + setting_text(kappa) + " must be at least " + setting_text(kWrapMarginMin) +
                                                       ": at 4, one coordinate in 16,000 wraps");
  for (unsigned width = kRingWidthMin; width <= kRingWidthMax; ++width)
    if (wrap_margin(t, width) >= kappa) return width;
  return unexpected(ErrorCode::kInvalidArgument, "no ring of at most 62 bits holds sums of deviation " +
                                                     setting_text(coordinate_deviation(t)) + " steps; take a coarser grid");
}

}  // namespace covey
