#include "privacy/rdp.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numbers>
#include <string>

#include "core/base/check.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

template <class Value>
RdpCurve curve_over(std::vector<double> orders, Value value) {
  RdpCurve curve{std::move(orders), {}};
  for (const double order : curve.orders) curve.values.push_back(value(order));
  return curve;
}

Result<void> check_sum(const SummedNoise& n) {
  if (n.bound.squared == 0 || n.dimension == 0 || n.contributors == 0 || n.members < n.contributors || !(n.share_deviation > 0) || !std::isfinite(n.share_deviation))
    return unexpected(ErrorCode::kInvalidArgument,
                      "a sum of noise: norm bound, dimension, contributors and each one's deviation (" +
                          setting_text(n.share_deviation) + " grid steps) must be above 0, and members no fewer than contributors");
  return {};
}

}  // namespace

std::vector<double> real_orders() {
  std::vector<double> orders;
  for (int tenths = 11; tenths < 110; ++tenths) orders.push_back(tenths / 10.0);
  for (int order = 11; order < 64; ++order) orders.push_back(order);
  orders.insert(orders.end(), {128, 256, 512, 1024});
  return orders;
}

std::vector<double> whole_orders() {
  std::vector<double> orders;
  for (int order = 2; order <= 128; ++order) orders.push_back(order);
  orders.push_back(256);
  return orders;
}

RdpCurve gaussian_rdp(double z) {
  COVEY_CHECK(z > 0);
  return curve_over(real_orders(), [&](double order) { return order / (2 * z * z); });
}

RdpCurve tree_rdp(double z, std::uint64_t steps) {
  COVEY_CHECK(z > 0 && steps > 0);
  const double depth = static_cast<double>(std::bit_width(steps));  // ceil(log2(steps + 1))
  return curve_over(real_orders(), [&](double order) { return order * depth / (2 * z * z); });
}

double discrete_gaussian_tau(double s, std::uint32_t contributors) {
  double sum = 0;
  for (std::uint32_t i = 1; i < contributors; ++i) sum += std::exp(-2 * std::numbers::pi * std::numbers::pi * s * s * i / (i + 1.0));
  return 10 * sum;
}

Result<RdpCurve> discrete_gaussian_sum_rdp(const SummedNoise& n) {
  COVEY_TRY_VOID(check_sum(n));
  if (n.share_deviation < kShareDeviationMin)
    return unexpected(ErrorCode::kInvalidArgument,
                      "each member's noise has a deviation of " + setting_text(n.share_deviation) +
                          " grid steps and must have at least 4: take a finer grid, more noise, or Skellam noise");
  const double d = static_cast<double>(n.dimension);
  const double deviation = std::sqrt(static_cast<double>(n.contributors)) * n.share_deviation;
  const double l2 = n.bound.l2 / deviation;
  const double l1 = n.bound.l1 / deviation;
  const double tau = discrete_gaussian_tau(n.share_deviation, n.members);
  return curve_over(whole_orders(), [&](double order) {
    const double apart = order * l2 * l2 / 2 + tau * d;
    const double mixed = order / 2 * (l2 * l2 + 2 * l1 * tau + tau * tau * d);
    const double joint = l2 + std::sqrt(d) * tau;
    return std::min({apart, mixed, order / 2 * joint * joint});
  });
}

Result<RdpCurve> skellam_sum_rdp(const SummedNoise& n) {
  COVEY_TRY_VOID(check_sum(n));
  const double variance = n.share_deviation * n.share_deviation * n.contributors;
  const double squared = static_cast<double>(n.bound.squared);
  return curve_over(whole_orders(), [&](double order) {
    const double second = ((2 * order - 1) * squared + 6 * n.bound.l1) / (4 * variance * variance);
    return order * squared / (2 * variance) + std::min(second, 3 * n.bound.l1 / (2 * variance));
  });
}

RdpCurve times(RdpCurve curve, double count) {
  COVEY_CHECK(count >= 0);
  for (double& value : curve.values) value = count == 0 ? 0 : value * count;
  return curve;
}

RdpCurve composed(RdpCurve a, const RdpCurve& b) {
  COVEY_CHECK(a.orders == b.orders && a.values.size() == b.values.size());
  for (std::size_t i = 0; i < a.values.size(); ++i) a.values[i] += b.values[i];
  return a;
}

EpsilonAt epsilon_of(const RdpCurve& curve, double delta) {
  COVEY_CHECK(delta > 0 && delta < 1 && !curve.orders.empty() && curve.orders.size() == curve.values.size());
  EpsilonAt best{std::numeric_limits<double>::infinity(), curve.orders.front()};
  for (std::size_t i = 0; i < curve.orders.size(); ++i) {
    const double order = curve.orders[i];
    const double divergence = curve.values[i];
    // Total variation is at most sqrt(1 - exp(-KL)), and KL at most any divergence of order above 1.
    const bool nothing = delta * delta + std::expm1(-divergence) > 0;
    const double epsilon =
        nothing ? 0 : std::max(0.0, divergence + std::log1p(-1 / order) - std::log(delta * order) / (order - 1));
    if (epsilon < best.epsilon) best = {epsilon, order};
  }
  return best;
}

Result<EpsilonAt> epsilon_with_flaws(const RdpCurve& curve, double delta, double total_variation) {
  COVEY_CHECK(delta > 0 && delta < 1 && total_variation >= 0);
  EpsilonAt at = epsilon_of(curve, delta);
  if (total_variation == 0) return at;
  for (int step = 0; step < 64; ++step) {  // epsilon rises as what is left of delta falls: it settles, or nothing is left
    const double left = delta - (1 + std::exp(at.epsilon)) * total_variation;
    if (!(left > 0)) break;
    const EpsilonAt next = epsilon_of(curve, left);
    if (next.epsilon <= at.epsilon * (1 + 1e-12)) return next;
    at = next;
  }
  return unexpected(ErrorCode::kInvalidArgument,
                    "noise within " + setting_text(total_variation) + " of its law in total variation leaves nothing of delta = " +
                        setting_text(delta) + " at epsilon " + setting_text(at.epsilon) + "; use discrete Gaussian noise, or more of it");
}

}  // namespace covey
