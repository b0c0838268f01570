// From a clipped, rotated update to whole numbers whose norm is bounded for certain, and the width of the ring that
// holds their noised sum. Kairouz, Liu and Steinke, "The Distributed Discrete Gaussian Mechanism for Federated
// Learning with Secure Aggregation" (2021), section 4.1 and proposition 22 (conditional rounding), sections 4.2 and 4.4
// (the modulus). All lengths in grid steps unless a name says otherwise; d is the rotation's padded dimension.
#pragma once
#include <cstdint>
#include <span>

#include "core/base/result.h"
#include "privacy/noise_bits.h"

namespace covey {

// exp(-1/2): how much of the rounding's chance may be spent on the norm bound. A smaller beta loosens D2.
inline constexpr double kRoundingBias = 0.60653065971263342;
inline constexpr unsigned kRoundingTries = 64;
inline constexpr double kWrapMarginMin = 6;  // kappa: 2e-9 of the coordinates wrap

struct RoundingTerms {
  double clip = 1;                  // C, of the real update
  double weight_max = 1;            // w_max: what a member's update is multiplied by, at most
  double grid = 0;                  // gamma_q, the real length of a step
  double bias = kRoundingBias;      // beta
  std::uint64_t dimension = 0;      // d
};

// What a member's whole numbers satisfy, exactly.
struct NormBound {
  std::uint64_t squared = 0;  // floor(D2^2): sum of squares <= this
  double l2 = 0;              // D2 = sqrt(squared)
  double l1 = 0;              // D1 = D2 min(sqrt d, D2), since |x| <= x^2 for whole numbers
};
// D2^2 = min{(c + sqrt d)^2, c^2 + d/4 + sqrt(2 ln(1/beta)) (c + sqrt(d)/2)} with c = w_max C / grid.
// Errors: kInvalidArgument, naming the term; also where D2 reaches 2^31: a coarser grid is needed.
Result<NormBound> norm_bound(const RoundingTerms& terms);

enum class Rounded : std::uint8_t {
  kExactly,     // out holds a rounding within the bound
  kZeroVector,  // not finite, or no rounding was within it: out is zero, which leaves the norm bound and tells nobody
};
// out[i] = x[i] / grid rounded up with the chance of its fraction, to 32 bits of it; drawn again until the norm is
// within the bound, kRoundingTries times at most. Never an error: whether a member can send must not tell about its
// data (refusing would), so a member that cannot sends zeros and its share of the noise.
Rounded round_within(std::span<const float> x, double grid, const NormBound& bound, NoiseBits& bits, std::span<std::int64_t> out);

// Terms of a sum: coordinates have about the variance (C n / sqrt d)^2 + (grid^2/4 + sigma_l^2) n after rotation.
struct WrapTerms {
  double clip = 1;                // C times w_max
  double grid = 0;
  double local_noise = 0;         // sigma_l, real length: grid times the noise's deviation in steps
  std::uint32_t members = 0;      // n
  std::uint64_t dimension = 0;    // d
};
// The deviation of one coordinate of the sum, in grid steps, at most: all members send the same clipped vector.
double coordinate_deviation(const WrapTerms& terms);
// kappa of a ring of `width` bits: 2^b = 2 kappa deviation.
double wrap_margin(const WrapTerms& terms, unsigned width);
// The chance that one coordinate of the sum leaves the ring: erfc(kappa / sqrt 2), for a Gaussian coordinate.
double wrap_chance(const WrapTerms& terms, unsigned width);
// The least b with 2^b >= 2 kappa deviation. Errors: kInvalidArgument where kappa < kWrapMarginMin or b > 62.
Result<unsigned> ring_width_for(const WrapTerms& terms, double kappa);

}  // namespace covey
