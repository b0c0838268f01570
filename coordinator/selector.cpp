#include "coordinator/selector.h"

#include <algorithm>
#include <cmath>

#include "core/base/random.h"

namespace covey {

std::uint32_t ceil_share(double share, std::size_t count) {
  const double product = share * static_cast<double>(count);
  COVEY_CHECK(product >= 0 && product < 4e9);
  return static_cast<std::uint32_t>(std::ceil(product - 1e-9));
}

std::optional<Selection> select_cohort(const SelectionSpec& spec, std::uint64_t seed, std::uint32_t round,
                                       std::uint32_t attempt, std::vector<PeerKey> available) {
  if (available.empty() || available.size() < spec.min_clients) return std::nullopt;
  std::sort(available.begin(), available.end());
  Selection selection;
  selection.target = std::max({spec.min_clients, ceil_share(spec.fraction, available.size()), std::uint32_t{1}});
  const std::size_t asked = std::min<std::size_t>(
      available.size(), ceil_share(1.0 + spec.over_selection, selection.target));
  Random random = Random(seed).split("cohort", round, attempt);
  random.shuffle(std::span(available));
  available.resize(asked);
  std::sort(available.begin(), available.end());
  selection.cohort = std::move(available);
  return selection;
}

}  // namespace covey
