#include "coordinator/turns.h"

#include <algorithm>

namespace covey {

std::uint32_t fair_share(std::size_t nodes, std::vector<std::uint32_t> others) {
  std::sort(others.begin(), others.end());
  std::size_t left = nodes, sharers = others.size() + 1;
  for (const std::uint32_t asked : others) {
    if (asked * sharers > left) break;
    left -= asked;
    --sharers;
  }
  return static_cast<std::uint32_t>((left + sharers - 1) / sharers);
}

}  // namespace covey
