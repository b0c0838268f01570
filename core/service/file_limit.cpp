#include "core/service/file_limit.h"

#include <sys/resource.h>

#include "core/base/check.h"

namespace covey {

std::uint64_t file_limit_max() {
  rlimit limit{};
  COVEY_CHECK(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  return limit.rlim_max;
}

std::uint64_t raise_file_limit() {
  rlimit limit{};
  COVEY_CHECK(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const rlimit raised{limit.rlim_max, limit.rlim_max};
  return ::setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}

}  // namespace covey
