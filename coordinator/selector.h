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

// What comes from outside of [selection]. The bounds are at least min_clients.
struct CohortBounds {
  std::size_t there = 0;  // clients, also those that work for other jobs; at least the available
  std::uint32_t asked_max = ~std::uint32_t{0};
  std::uint32_t target_max = ~std::uint32_t{0};
};

struct CohortSize {
  std::uint32_t target = 0;  // updates wanted
  std::uint32_t asked = 0;   // at least `target`
  bool operator==(const CohortSize&) const = default;
};

// target = max(min_clients, ceil(fraction * there)), asked = ceil(target * (1 + over_selection)), both
// within the bounds and at most `available`. Where asked_max cuts `asked` short the target goes with it, so
// that over_selection keeps its share. Nothing when fewer than min_clients are available.
std::optional<CohortSize> cohort_size(const SelectionSpec& spec, std::size_t available, const CohortBounds& bounds = {});

// A cohort of that size, drawn from those available.
std::optional<Selection> select_cohort(const SelectionSpec& spec, std::uint64_t seed, std::uint32_t round,
                                       std::uint32_t attempt, std::vector<PeerKey> available,
                                       const CohortBounds& bounds = {});

// ceil(share * count), where a product that is whole but for rounding counts as whole.
std::uint32_t ceil_share(double share, std::size_t count);

}  // namespace covey
