// Draws a round's cohort. A pure function: the same job seed, round, attempt and available clients
// give the same cohort.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "core/base/bytes.h"
#include "core/protocol/job_spec.h"

namespace covey {

struct Selection {
  std::uint32_t target = 0;     // updates wanted
  std::vector<PeerKey> cohort;  // asked, ascending; at least `target`
  bool operator==(const Selection&) const = default;
};

// target = max(min_clients, ceil(fraction * available)); cohort = ceil(target * (1 + over_selection)),
// at most all. Nothing when fewer than min_clients are available.
std::optional<Selection> select_cohort(const SelectionSpec& spec, std::uint64_t seed, std::uint32_t round,
                                       std::uint32_t attempt, std::vector<PeerKey> available);

// ceil(share * count), where a product that is whole but for rounding counts as whole.
std::uint32_t ceil_share(double share, std::size_t count);

}  // namespace covey
