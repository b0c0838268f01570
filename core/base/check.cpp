#include "core/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace covey {

void check_failed(const char* condition, const char* file, int line) {
  // Straight to standard error: the process is broken, so no log object can be trusted.
  std::fprintf(stderr, "covey: check failed: %s (%s:%d)\n", condition, file, line);
  std::fflush(stderr);
  std::abort();
}

}  // namespace covey
