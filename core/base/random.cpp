#include "core/base/random.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "core/base/check.h"

namespace covey {
namespace {

__extension__ typedef unsigned __int128 Uint128;

constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15U;

// The output function of SplitMix64 (Steele, Lea and Flood 2014, variant 13 of Stafford).
std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31);
}

// log and exp out of correctly rounded operations only: the C library's differ in the last bit
// between versions and processors, which would make a seed mean different things.
constexpr double kLn2High = 0x1.62e42fefa0000p-1;   // 40 bits: its small multiples are exact
constexpr double kLn2Low = 0x1.cf79abc9e3b3ap-40;

// Natural logarithm of a finite x > 0; relative error about 1e-15.
double portable_log(double x) {
  int exponent = 0;
  double fraction = std::frexp(x, &exponent);  // [0.5, 1)
  if (fraction < 0.70710678118654752) {
    fraction *= 2;
    --exponent;
  }
  const double s = (fraction - 1) / (fraction + 1);  // log f = 2 atanh s, |s| < 0.172
  const double s2 = s * s;
  double series = 0;
  for (int k = 23; k >= 1; k -= 2) series = series * s2 + 1.0 / k;
  return exponent * kLn2High + (exponent * kLn2Low + 2 * s * series);
}

// e^x; 0 below the range of double. Relative error about 1e-15.
double portable_exp(double x) {
  if (x < -745) return 0;
  COVEY_CHECK(x < 709);
  const double k = std::floor(x / (kLn2High + kLn2Low) + 0.5);
  const double r = (x - k * kLn2High) - k * kLn2Low;  // |r| < 0.35
  double series = 1;
  for (int n = 14; n >= 1; --n) series = 1 + series * r / n;
  return std::ldexp(series, static_cast<int>(k));
}

}  // namespace

Random::Random(std::uint64_t seed) : seed_(seed) {
  std::uint64_t z = seed;
  for (std::uint64_t& word : state_) word = mix(z += kGolden);
}

Random Random::split(std::string_view label, std::uint64_t a, std::uint64_t b) const {
  // The length goes in first, so that no label is a prefix of another.
  std::uint64_t hash = mix(seed_ + kGolden);
  const auto absorb = [&hash](std::uint64_t word) { hash = mix((hash ^ word) + kGolden); };
  absorb(label.size());
  for (const char c : label) absorb(static_cast<unsigned char>(c));
  absorb(a);
  absorb(b);
  return Random(hash);
}

std::uint64_t Random::next() {
  const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const std::uint64_t shifted = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= shifted;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

std::uint64_t Random::below(std::uint64_t bound) {
  COVEY_CHECK(bound > 0);
  // Lemire 2019: the high word of a product, rejecting the few low words that would bias it.
  Uint128 product = static_cast<Uint128>(next()) * bound;
  if (static_cast<std::uint64_t>(product) < bound) {
    const std::uint64_t threshold = (0 - bound) % bound;
    while (static_cast<std::uint64_t>(product) < threshold)
      product = static_cast<Uint128>(next()) * bound;
  }
  return static_cast<std::uint64_t>(product >> 64);
}

double Random::uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

double Random::normal() {
  // Marsaglia's polar method. The second value is not kept: a stream is its seed and its state.
  while (true) {
    const double x = 2 * uniform() - 1;
    const double y = 2 * uniform() - 1;
    const double s = x * x + y * y;
    if (s < 1 && s > 0) return x * std::sqrt(-2 * portable_log(s) / s);
  }
}

double Random::exponential() { return -portable_log(1 - uniform()); }

double Random::gamma(double shape) {
  COVEY_CHECK(shape > 0 && std::isfinite(shape));
  if (shape < 1) {
    const double larger = gamma(shape + 1);
    return larger * portable_exp(-exponential() / shape);
  }
  const double d = shape - 1.0 / 3.0;
  const double c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = normal();
    const double root = 1 + c * x;
    if (root <= 0) continue;
    const double v = root * root * root;
    const double u = 1 - uniform();  // (0, 1]
    if (portable_log(u) < 0.5 * x * x + d * (1 - v + portable_log(v))) return d * v;
  }
}

std::vector<double> Random::dirichlet(double alpha, std::size_t count) {
  COVEY_CHECK(alpha > 0 && std::isfinite(alpha) && count > 0);
  // Gamma variates in logarithms: for a small alpha every one of them may be below the range of
  // double, and their sum zero.
  std::vector<double> parts(count);
  double largest = -std::numeric_limits<double>::infinity();
  for (double& part : parts) {
    if (alpha < 1) {
      const double larger = gamma(alpha + 1);
      part = portable_log(larger) - exponential() / alpha;
    } else {
      part = portable_log(gamma(alpha));
    }
    largest = std::max(largest, part);
  }
  double sum = 0;
  for (double& part : parts) sum += part = portable_exp(part - largest);
  for (double& part : parts) part /= sum;
  return parts;
}

}  // namespace covey
