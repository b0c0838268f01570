#include "core/base/thrown.h"

#include <exception>
#include <new>
#include <string>
#include <system_error>

namespace covey {

Error error_of_exception() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return {ErrorCode::kResourceExhausted, "out of memory; use a smaller model or batch"};
  } catch (const std::system_error& failure) {
    if (failure.code() == std::errc::no_space_on_device) return {ErrorCode::kDiskFull, failure.what()};
    for (const auto scarce : {std::errc::not_enough_memory, std::errc::too_many_files_open, std::errc::too_many_files_open_in_system,
                              std::errc::resource_unavailable_try_again})
      if (failure.code() == scarce)
        return {ErrorCode::kResourceExhausted,
                std::string(failure.what()) + ": the system gives this process no more threads, memory or files; raise the limit "
                                              "(ulimit -u, -v or -n, a service's TasksMax or MemoryMax)"};
    return {ErrorCode::kInternal, failure.what()};
  } catch (const std::exception& failure) {
    return {ErrorCode::kInternal, failure.what()};
  } catch (...) {
    return {ErrorCode::kInternal, "something was thrown that is no exception"};
  }
}

}  // namespace covey
