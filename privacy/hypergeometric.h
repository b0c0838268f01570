// Exact tails of the laws that secure aggregation's parameters rest on. Every probability is a sum of
// positive terms made by IEEE multiplications and divisions alone, so coordinator and clients compute
// the same numbers on every machine; the relative error is below 1e-11 for populations up to 1e6.
#pragma once
#include <cstdint>
#include <vector>

namespace covey {

// A law on the whole numbers first, first + 1, ...; chances sum to 1.
class DiscreteLaw {
 public:
  // How many of `marked` are among `drawn` taken without replacement from `population`.
  static DiscreteLaw hypergeometric(std::uint64_t population, std::uint64_t marked, std::uint64_t drawn);
  // How many of `trials` independent coins of chance 0 < chance < 1 come up.
  static DiscreteLaw binomial(std::uint64_t trials, double chance);

  double above(std::uint64_t x) const;  // P[X > x]
  double below(std::uint64_t x) const;  // P[X < x]
  // The smallest a with P[X > a] <= chance.
  std::uint64_t quantile_above(double chance) const;

 private:
  template <class Ratio>
  void build(std::uint64_t last, std::uint64_t mode, Ratio ratio);
  std::uint64_t first_ = 0;
  std::vector<double> from_start_;  // P[X < first + i]
  std::vector<double> to_end_;      // P[X >= first + i], summed from the far end: small tails keep their digits
};

}  // namespace covey
