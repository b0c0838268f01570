// The discrete Gaussian on the whole numbers: P[X = x] proportional to exp(-x^2 / (2 v)).
// Exact, by rejection from the discrete Laplace: Canonne, Kamath and Steinke, "The Discrete Gaussian for
// Differential Privacy" (2020), algorithms 1 to 3. The acceptance compares whole numbers only.
#pragma once
#include <cstdint>
#include <span>

#include "core/base/result.h"
#include "privacy/noise_bits.h"

namespace covey {

// A variance in units of 2^-16 grid steps squared: what is drawn and what is charged are the same number.
struct NoiseVariance {
  std::uint64_t in_65536ths = 0;
  bool operator==(const NoiseVariance&) const = default;
};
inline constexpr std::uint64_t kVarianceUnit = 65536;
inline constexpr double kNoiseSigmaMax = 1048576;  // grid steps; a coarser grid serves above

// At least `variance`, rounded up to the unit. Errors: kInvalidArgument unless 2^-16 <= variance <= kNoiseSigmaMax^2.
Result<NoiseVariance> noise_variance(double variance);
// The same of one that came from elsewhere. In whole numbers: as f64 the first above the bound is the bound.
Result<void> check_variance(const NoiseVariance& variance);
inline double value_of(const NoiseVariance& v) { return static_cast<double>(v.in_65536ths) / static_cast<double>(kVarianceUnit); }

class DiscreteGaussian {
 public:
  // `variance` as check_variance() lets it pass. The law's own variance is at most the parameter v: for v >= 1 it is less by
  // below 4 pi^2 v^2 exp(-2 pi^2 v) of it, 1e-6 at v = 1 and nothing that f64 could show at v >= 4.
  explicit DiscreteGaussian(const NoiseVariance& variance);

  // |result| < 64 (sqrt(v) + 1): Laplace draws beyond it are refused. Their part of the law, below exp(-2000), is
  // all that is not exact here.
  std::int64_t sample(NoiseBits& bits) const;
  // out[i] += sample, modulo 2^64 for the ring.
  void add_to(std::span<std::int64_t> out, NoiseBits& bits) const;

 private:
  std::uint64_t variance_ = 0;     // v in 65536ths
  std::uint64_t scale_ = 0;        // t = floor(sqrt v) + 1, of the Laplace
  std::uint64_t magnitude_max_ = 0;
  Wide128 denominator_ = 0;        // 2 v t^2 in 65536ths squared, below 2^116
};

}  // namespace covey
