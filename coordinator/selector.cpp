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

std::optional<CohortSize> cohort_size(const SelectionSpec& spec, std::size_t available, const CohortBounds& bounds) {
  if (available == 0 || available < spec.min_clients) return std::nullopt;
  const auto free = static_cast<std::uint32_t>(available);
  const std::uint32_t most = std::min(free, bounds.asked_max);
  CohortSize size;
  size.target = std::max({spec.min_clients, ceil_share(spec.fraction, std::max(bounds.there, available)), std::uint32_t{1}});
  size.target = std::min({size.target, bounds.target_max, free});
  size.asked = ceil_share(1.0 + spec.over_selection, size.target);
  if (size.asked > bounds.asked_max) {
    const auto kept = static_cast<std::uint32_t>(bounds.asked_max / (1.0 + spec.over_selection) + 1e-9);
    size.target = std::min(size.target, std::max({spec.min_clients, kept, std::uint32_t{1}}));
  }
  size.asked = std::max(size.target, std::min(size.asked, most));
  return size;
}

std::optional<Selection> select_cohort(const SelectionSpec& spec, std::uint64_t seed, std::uint32_t round,
                                       std::uint32_t attempt, std::vector<PeerKey> available,
                                       const CohortBounds& bounds) {
  const auto size = cohort_size(spec, available.size(), bounds);
  if (!size) return std::nullopt;
  std::sort(available.begin(), available.end());
  Selection selection;
  selection.target = size->target;
  Random random = Random(seed).split("cohort", round, attempt);
  random.shuffle(std::span(available));
  available.resize(size->asked);
  std::sort(available.begin(), available.end());
  selection.cohort = std::move(available);
  return selection;
}

}  // namespace covey
