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

Result<std::uint64_t> raise_file_limit_to(std::uint64_t needed) {
  const std::uint64_t limit = raise_file_limit();
  if (limit >= needed) return limit;
  return unexpected(ErrorCode::kResourceExhausted,
                    "this process may have " + std::to_string(limit) + " files and connections open, and needs " + std::to_string(needed) +
                        " at least: raise the hard limit of open files (LimitNOFILE=, ulimit -Hn)");
}

}  // namespace covey
