// Assertions about our own code; always on. Never for a peer's input, a file or a flag.
#pragma once

namespace covey {

[[noreturn]] void check_failed(const char* condition, const char* file, int line);

}  // namespace covey

#define COVEY_CHECK(condition)                                        \
  do {                                                                \
    if (!(condition)) [[unlikely]]                                    \
      ::covey::check_failed(#condition, __FILE__, __LINE__);          \
  } while (false)
