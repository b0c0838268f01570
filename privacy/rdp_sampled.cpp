// Amplification by Poisson sampling. Sums are of logarithms: their terms span hundreds of powers of ten.
#include <math.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/base/check.h"
#include "privacy/rdp.h"

namespace covey {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();
constexpr int kSeriesTermsMax = 1000;
constexpr double kNegligible = 30;  // of a logarithm: e^-30 of the sum

double log_add(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == -kInfinite ? a : a + std::log1p(std::exp(b - a));
}

double log_gamma(double x) {
  int sign = 0;  // std::lgamma would write a global
  return ::lgamma_r(x, &sign);
}
// ln |n (n-1) ... (n-k+1) / k!|, n any number above 1.
double log_binomial(double n, double k) { return log_gamma(n + 1) - log_gamma(k + 1) - log_gamma(n - k + 1); }

// ln erfc(x); beyond 25 by its asymptotic series, there exact to 1e-12.
double log_erfc(double x) {
  if (x < 25) return std::log(std::erfc(x));
  const double y = 1 / (2 * x * x);
  return -x * x - std::log(x) - 0.5 * std::log(std::numbers::pi) + std::log1p(-y * (1 - 3 * y * (1 - 5 * y * (1 - 7 * y))));
}

// ln of E over Q of ((1 - q) + q e^L)^alpha, whole alpha.
double log_moment_whole(double z, double q, int alpha) {
  double sum = -kInfinite;
  for (int k = 0; k <= alpha; ++k)
    sum = log_add(sum, log_binomial(alpha, k) + (alpha - k) * std::log1p(-q) + k * std::log(q) + (double{1} * k * k - k) / (2 * z * z));
  return sum;
}

// The same for any alpha: below the point where the two parts are equal the power is expanded in q, above in 1 - q.
double log_moment(double z, double q, double alpha) {
  const double equal = z * z * std::log(1 / q - 1) + 0.5;
  const double scale = std::numbers::sqrt2 * z;
  double sum = -kInfinite, last_low = -kInfinite, last_high = -kInfinite;
  for (int i = 0; i < kSeriesTermsMax; ++i) {
    const double j = alpha - i;
    const double common = log_binomial(alpha, i) - std::numbers::ln2;
    const double low = common + i * std::log(q) + j * std::log1p(-q) + (double{1} * i * i - i) / (2 * z * z) + log_erfc((i - equal) / scale);
    const double high = common + j * std::log(q) + i * std::log1p(-q) + (j * j - j) / (2 * z * z) + log_erfc((equal - j) / scale);
    sum = log_add(sum, log_add(low, high));
    if (low < last_low && high < last_high && std::max(low, high) < sum - kNegligible) return sum;
    last_low = low;
    last_high = high;
  }
  return kInfinite;
}

}  // namespace

RdpCurve sampled_gaussian_rdp(double z, double q) {
  COVEY_CHECK(z > 0 && q >= 0 && q <= 1);
  RdpCurve curve = gaussian_rdp(z);
  if (q == 1) return curve;
  for (std::size_t i = 0; i < curve.orders.size(); ++i) {
    const double order = curve.orders[i];
    const double moment = q == 0                        ? 0
                          : order == std::floor(order) ? log_moment_whole(z, q, static_cast<int>(order))
                                                       : log_moment(z, q, order);
    curve.values[i] = std::max(0.0, moment / (order - 1));
  }
  // Divergences rise with the order, so a higher one's bounds a lower one's where its series was too coarse.
  for (std::size_t i = curve.values.size() - 1; i > 0; --i) curve.values[i - 1] = std::min(curve.values[i - 1], curve.values[i]);
  return curve;
}

RdpCurve poisson_sampled_rdp(const RdpCurve& curve, double q) {
  COVEY_CHECK(q >= 0 && q <= 1 && curve.orders == whole_orders());
  if (q == 1) return curve;
  if (q == 0) return times(curve, 0);
  const auto divergence = [&](int order) {  // at this order, or at the next that the curve has
    const auto at = std::lower_bound(curve.orders.begin(), curve.orders.end(), static_cast<double>(order));
    return curve.values[static_cast<std::size_t>(at - curve.orders.begin())];
  };
  RdpCurve sampled = curve;
  const double stay = std::log1p(-q), come = std::log(q);
  for (std::size_t i = 0; i < curve.orders.size(); ++i) {
    const int alpha = static_cast<int>(curve.orders[i]);
    // (1-q)^(a-1) (a q - q + 1) + C(a,2) q^2 (1-q)^(a-2) e^eps(2) + 3 sum over l = 3 ... a
    double sum = (alpha - 1) * stay + std::log1p((alpha - 1) * q);
    for (int l = 2; l <= alpha; ++l)
      sum = log_add(sum, (l == 2 ? 0 : std::log(3.0)) + log_binomial(alpha, l) + (alpha - l) * stay + l * come + (l - 1) * divergence(l));
    // Sampling never costs: a curve that is not sampled at all bounds it as well.
    sampled.values[i] = std::clamp(sum / (alpha - 1), 0.0, curve.values[i]);
  }
  return sampled;
}

}  // namespace covey
