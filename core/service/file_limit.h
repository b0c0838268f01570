// How many files and connections this process may have open.
#pragma once
#include <cstdint>

namespace covey {

// Raises the soft limit to the hard one, and gives what it then is.
std::uint64_t raise_file_limit();
// The hard limit: what raise_file_limit() would give.
std::uint64_t file_limit_max();
// What a coordinator of so many nodes wants: each may hold two connections, and the store needs some files.
constexpr std::uint64_t files_wanted(std::uint32_t nodes_max) { return 2 * std::uint64_t{nodes_max} + 256; }

}  // namespace covey
