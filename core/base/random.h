// Seeded, reproducible randomness: selection, initialisation, data order, simulation.
// Never for keys, masks or privacy noise: those take SecureRandom, an unrelated type.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace covey {

// xoshiro256** (Blackman and Vigna 2018), seeded through SplitMix64. The same seed gives the same
// sequence on every machine and compiler.
class Random {
 public:
  explicit Random(std::uint64_t seed);

  // An independent stream named by a label and up to two numbers; leaves this one untouched, so
  // the order in which streams are split does not matter.
  Random split(std::string_view label, std::uint64_t a = 0, std::uint64_t b = 0) const;

  std::uint64_t next();
  std::uint64_t below(std::uint64_t bound);  // uniform in [0, bound), bound > 0, unbiased
  double uniform();                          // [0, 1)
  double normal();                           // mean 0, variance 1
  double exponential();                      // mean 1
  double gamma(double shape);                // scale 1, shape > 0 (Marsaglia and Tsang 2000)
  std::vector<double> dirichlet(double alpha, std::size_t count);

  template <class T>
  void shuffle(std::span<T> items) {  // Fisher and Yates
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::uint64_t seed_;
  std::uint64_t state_[4];
};

}  // namespace covey
