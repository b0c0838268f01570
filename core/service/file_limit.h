// How many files and connections this process may have open.
#pragma once
#include <cstdint>

namespace covey {

// Raises the soft limit to the hard one, and gives what it then is.
std::uint64_t raise_file_limit();

}  // namespace covey
