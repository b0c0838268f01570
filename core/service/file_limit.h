// How many files and connections this process may have open.
#pragma once
#include <cstdint>

#include "core/base/result.h"

namespace covey {

// Raises the soft limit to the hard one, and gives what it then is.
std::uint64_t raise_file_limit();
// The hard limit: what raise_file_limit() would give.
std::uint64_t file_limit_max();
// What a daemon with so many threads for its connections opens before and while it serves its first few peers, with
// room for its store's tables. Below it the network's library ends the process where it finds no descriptor.
constexpr std::uint64_t files_needed(std::uint64_t io_threads) { return 64 + 4 * io_threads; }
// Raises the soft limit and gives it. Errors: kResourceExhausted below `needed`, naming both and the remedy.
Result<std::uint64_t> raise_file_limit_to(std::uint64_t needed);
// What a coordinator of so many nodes wants: each may hold two connections, and the store needs some files.
constexpr std::uint64_t files_wanted(std::uint32_t nodes_max) { return 2 * std::uint64_t{nodes_max} + 256; }

}  // namespace covey
