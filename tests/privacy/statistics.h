// What the tests of noise judge samples by.
#pragma once
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace covey {

inline constexpr double kRejectBelow = 1e-4;  // a p-value

// The chance of a chi-square of `freedom` degrees to exceed x: the regularised incomplete gamma function
// Q(freedom / 2, x / 2), by its series or its continued fraction.
inline double chi_square_tail(double x, double freedom) {
  const double a = freedom / 2, y = x / 2;
  if (y <= 0) return 1;
  const double front = std::exp(a * std::log(y) - y - std::lgamma(a));
  if (y < a + 1) {
    double term = 1 / a, sum = term;
    for (double n = a + 1; term > sum * 1e-16; ++n) sum += term *= y / n;
    return 1 - front * sum;
  }
  double b = y + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (int i = 1; i < 100000; ++i) {
    const double an = -i * (i - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    h *= d * c;
    if (std::fabs(d * c - 1) < 1e-15) break;
  }
  return front * h;
}

using Law = std::map<std::int64_t, double>;  // chances; what is missing of 1 lies beyond both ends

// Runs of values with an expectation of at least `expected_min` each are one bin; returns the p-value.
inline double fit(const std::map<std::int64_t, std::uint64_t>& counts, const Law& law, double draws, double expected_min) {
  double statistic = 0, expected = 0, rest = draws, seen = 0, all_seen = 0;
  std::size_t bins = 0;
  for (const auto& [value, chance] : law) {
    expected += chance * draws;
    const auto count = counts.find(value);
    if (count != counts.end()) seen += static_cast<double>(count->second);
    if (expected < expected_min || rest - expected < expected_min) continue;
    statistic += (seen - expected) * (seen - expected) / expected;
    rest -= expected;
    all_seen += seen;
    expected = seen = 0;
    ++bins;
  }
  const double last = draws - all_seen;  // with all that no bin of the law holds
  statistic += (last - rest) * (last - rest) / rest;
  return chi_square_tail(statistic, static_cast<double>(bins));
}

// P[X = x] of the discrete Gaussian, |x| <= 12 sigma.
inline Law gaussian_law(double variance) {
  const auto reach = static_cast<std::int64_t>(12 * std::sqrt(variance) + 3);
  Law law;
  double whole = 0;
  for (std::int64_t x = -reach; x <= reach; ++x)
    whole += law[x] = std::exp(-static_cast<double>(x) * static_cast<double>(x) / (2 * variance));
  for (auto& [x, chance] : law) chance /= whole;
  return law;
}

// P[X = x] = exp(-v) I_|x|(v), by the continued fraction of neighbours' ratios from far outside inwards.
inline Law skellam_law(double variance) {
  const auto reach = static_cast<std::int64_t>(12 * std::sqrt(variance) + 30);
  std::vector<double> ratio(static_cast<std::size_t>(reach) + 1);  // I_{k+1} / I_k
  double next = 0;
  for (std::int64_t k = reach + 2000; k >= 0; --k) {
    next = 1 / (next + 2 * static_cast<double>(k + 1) / variance);
    if (k <= reach) ratio[static_cast<std::size_t>(k)] = next;
  }
  Law law{{0, 1.0}};
  double whole = 1, weight = 1;
  for (std::int64_t x = 1; x <= reach; ++x) {
    weight *= ratio[static_cast<std::size_t>(x - 1)];
    law[x] = law[-x] = weight;
    whole += 2 * weight;
  }
  for (auto& [x, chance] : law) chance /= whole;
  return law;
}

inline double variance_of(const Law& law) {
  double sum = 0;
  for (const auto& [x, chance] : law) sum += static_cast<double>(x) * static_cast<double>(x) * chance;
  return sum;
}

}  // namespace covey
