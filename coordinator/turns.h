// How running jobs share nodes where no quota says. Pure.
#pragma once
#include <cstdint>
#include <vector>

namespace covey {

// What one job may take of `nodes`, rounded up, when each of `others` asks for so many: nobody gets more
// than it asks for, and what the modest leave is shared evenly by the rest (max-min fairness).
std::uint32_t fair_share(std::size_t nodes, std::vector<std::uint32_t> others);

}  // namespace covey
