#include "privacy/hypergeometric.h"

#include <algorithm>

#include "core/base/check.h"

namespace covey {

// Weights relative to the mode's, by the ratio of neighbours: nothing overflows, and what underflows
// is below 1e-300 of the whole.
template <class Ratio>
void DiscreteLaw::build(std::uint64_t last, std::uint64_t mode, Ratio ratio) {
  std::vector<double> weight(static_cast<std::size_t>(last - first_ + 1));
  weight[mode - first_] = 1;
  for (std::uint64_t x = mode; x < last; ++x) weight[x + 1 - first_] = weight[x - first_] * ratio(x);
  for (std::uint64_t x = mode; x > first_; --x) weight[x - 1 - first_] = weight[x - first_] / ratio(x - 1);

  from_start_.assign(weight.size() + 1, 0);
  to_end_.assign(weight.size() + 1, 0);
  for (std::size_t i = 0; i < weight.size(); ++i) from_start_[i + 1] = from_start_[i] + weight[i];
  for (std::size_t i = weight.size(); i > 0; --i) to_end_[i - 1] = to_end_[i] + weight[i - 1];
  const double whole = from_start_.back();
  for (double& value : from_start_) value /= whole;
  for (double& value : to_end_) value /= whole;
}

DiscreteLaw DiscreteLaw::hypergeometric(std::uint64_t population, std::uint64_t marked, std::uint64_t drawn) {
  COVEY_CHECK(marked <= population && drawn <= population && population < (std::uint64_t{1} << 31));
  DiscreteLaw law;
  const std::uint64_t unmarked = population - marked;
  law.first_ = drawn > unmarked ? drawn - unmarked : 0;
  const std::uint64_t last = std::min(marked, drawn);
  const std::uint64_t mode = std::clamp((drawn + 1) * (marked + 1) / (population + 2), law.first_, last);
  law.build(last, mode, [&](std::uint64_t x) {
    return static_cast<double>(marked - x) * static_cast<double>(drawn - x) /
           (static_cast<double>(x + 1) * static_cast<double>(unmarked + x + 1 - drawn));
  });
  return law;
}

DiscreteLaw DiscreteLaw::binomial(std::uint64_t trials, double chance) {
  COVEY_CHECK(chance > 0 && chance < 1);
  DiscreteLaw law;
  const auto mode = std::min(trials, static_cast<std::uint64_t>(static_cast<double>(trials + 1) * chance));
  const double odds = chance / (1 - chance);
  law.build(trials, mode,
            [&](std::uint64_t x) { return static_cast<double>(trials - x) / static_cast<double>(x + 1) * odds; });
  return law;
}

double DiscreteLaw::above(std::uint64_t x) const {
  if (x < first_) return 1;
  const std::uint64_t next = x - first_ + 1;
  return next < to_end_.size() ? to_end_[next] : 0;
}

double DiscreteLaw::below(std::uint64_t x) const {
  if (x <= first_) return 0;
  return from_start_[std::min<std::uint64_t>(x - first_, from_start_.size() - 1)];
}

std::uint64_t DiscreteLaw::quantile_above(double chance) const {
  std::uint64_t a = chance >= 1 ? 0 : first_;  // below its first value a law is certain to lie above
  while (above(a) > chance) ++a;
  return a;
}

}  // namespace covey
