// Rényi differential privacy: curves of divergence by order, their sums over releases, and the (epsilon, delta) that
// they give. Mironov 2017. User-level: one member's whole contribution is what a neighbouring data set lacks.
//
// In f64 through libm: two machines agree to about 1e-12, not to the bit. What is charged is therefore recorded, and
// compared with a tolerance (privacy/dp_charge.h).
#pragma once
#include <cstdint>
#include <vector>

#include "core/base/result.h"
#include "privacy/norm_rounding.h"

namespace covey {

struct RdpCurve {
  std::vector<double> orders;  // ascending, above 1
  std::vector<double> values;  // the divergence at each order, >= 0; infinity where no bound is known
  bool operator==(const RdpCurve&) const = default;
};

// 1.1, 1.2, ... 10.9, 11, 12, ... 63, 128, 256, 512, 1024: for the Gaussian on real numbers.
std::vector<double> real_orders();
// 2, 3, ... 128, 256: for what is bounded at whole orders only.
std::vector<double> whole_orders();

// ---- one release
// Gaussian noise of z times the sensitivity: alpha / (2 z^2). Mironov 2017, proposition 7. Also an upper bound for one
// discrete Gaussian on whole numbers, in any dimension: Canonne, Kamath and Steinke 2020 (concentrated privacy).
RdpCurve gaussian_rdp(double z);
// All prefix sums of a sequence of `steps` values noised in a binary tree, each in ceil(log2(steps + 1)) nodes:
// alpha h / (2 z^2). Kairouz et al. 2021 (DP-FTRL), theorem 4.1.
RdpCurve tree_rdp(double z, std::uint64_t steps);
// The Gaussian, each member present with the chance q independently: Mironov, Talwar and Zhang 2019, section 3.3.
// Whole orders: the binomial sum. Others: both series, terms beyond the order with their magnitudes, so that the
// result can only be too large; where the next order's is smaller (or a thousand terms do not settle it), that.
RdpCurve sampled_gaussian_rdp(double z, double q);

// A sum of integer noise from members who each add a share; lengths in grid steps.
struct SummedNoise {
  NormBound bound;                 // of one member's whole numbers
  std::uint64_t dimension = 0;     // d, padded
  double share_deviation = 0;      // s: of one member's noise
  std::uint32_t contributors = 0;  // m: honest members whose noise is in the sum for certain
  std::uint32_t members = 0;       // >= m: those whose noise can be in it, which only adds to tau
  bool operator==(const SummedNoise&) const = default;
};
inline constexpr double kShareDeviationMin = 4;  // below it, tau is not negligible

// How far a sum of m discrete Gaussians of deviation s is from one of deviation sqrt(m) s:
// 10 sum over i < m of exp(-2 pi^2 s^2 i / (i + 1)). Kairouz, Liu and Steinke 2021, theorem 1.
double discrete_gaussian_tau(double share_deviation, std::uint32_t contributors);
// The least of the three bounds of its proposition 14, with the noise of `contributors` and the tau of `members`: more
// noise does not undo a loss that the law's shape makes. Errors: kInvalidArgument where s < kShareDeviationMin or a term is 0.
Result<RdpCurve> discrete_gaussian_sum_rdp(const SummedNoise& noise);
// Agarwal, Kairouz and Liu 2021, section 3, the bound in many dimensions (variance v = m s^2, whole orders):
// alpha D2^2 / (2 v) + min{((2 alpha - 1) D2^2 + 6 D1) / (4 v^2), 3 D1 / (2 v)}. Errors: kInvalidArgument for a 0.
Result<RdpCurve> skellam_sum_rdp(const SummedNoise& noise);

// Any mechanism of `curve` (orders 2, 3, ... first, at whole_orders()), each member present with the chance q
// independently: Zhu and Wang 2019, theorem 5, the general upper bound. Orders that the curve has without all whole
// orders below them get the bound at the divergence of the next order that it has: divergences rise with the order.
RdpCurve poisson_sampled_rdp(const RdpCurve& curve, double q);

// ---- many releases
RdpCurve times(RdpCurve curve, double count);                     // the same release `count` times
RdpCurve composed(RdpCurve a, const RdpCurve& b);                 // of the same orders

struct EpsilonAt {
  double epsilon = 0;
  double order = 0;  // where it was least
};
// epsilon = r + ln(1 - 1/alpha) - ln(delta alpha) / (alpha - 1), at the best order: Canonne, Kamath and Steinke 2020,
// proposition 12. 0 where the divergence alone says so (Bretagnolle-Huber). 0 < delta < 1.
EpsilonAt epsilon_of(const RdpCurve& curve, double delta);

// What releases that are not drawn exactly from their law cost: each is within `total_variation` of it in sum, and
// delta grows by (1 + e^epsilon) times that. Errors: kInvalidArgument where it leaves nothing of `delta`.
Result<EpsilonAt> epsilon_with_flaws(const RdpCurve& curve, double delta, double total_variation);

}  // namespace covey
