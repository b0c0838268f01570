// The Skellam law of mean 0: the difference of two Poisson draws of mean v / 2, variance v. Sums of Skellam draws are
// Skellam, so that what n members add is known exactly: Agarwal, Kairouz and Liu, "The Skellam Mechanism for
// Differentially Private Federated Learning" (2021).
//
// The Poisson is drawn by inversion of a table of its cumulated chances in 128-bit whole numbers, made by the ratio of
// neighbours from the mode outwards. The table is the only thing that is not exact, and total_variation() bounds it.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "privacy/discrete_gaussian.h"

namespace covey {

inline constexpr double kSkellamSigmaMax = 16384;  // grid steps: a table of about 5 MiB

class Skellam {
 public:
  // Errors: kInvalidArgument where the variance is above kSkellamSigmaMax^2.
  static Result<Skellam> of_variance(const NoiseVariance& variance);

  std::int64_t sample(NoiseBits& bits) const { return poisson(bits) - poisson(bits); }
  void add_to(std::span<std::int64_t> out, NoiseBits& bits) const;  // out[i] += sample, modulo 2^64

  // At most this far, in total variation, is one sample from a true one: to be charged to delta for each coordinate
  // of each release (delta_of_flaws() in privacy/rdp.h).
  double total_variation() const { return total_variation_; }
  std::size_t table_entries() const { return below_.size(); }
  // The table's chance that the Poisson draw is at most `value`.
  Fraction poisson_up_to(std::int64_t value) const;

 private:
  Skellam() = default;
  std::int64_t poisson(NoiseBits& bits) const;
  std::int64_t first_ = 0;          // the value of entry 0
  std::vector<Wide128> below_;      // weight of all values up to and with first_ + i; the last is the whole
  std::vector<std::uint32_t> guide_;  // by the leading bits of a draw: the first entry that can be it
  unsigned guide_shift_ = 0;
  double total_variation_ = 0;
};

}  // namespace covey
