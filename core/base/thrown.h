// What a library threw, as an error: for the edge where a thread's work ends and nobody above catches.
#pragma once
#include <type_traits>
#include <utility>

#include "core/base/result.h"

namespace covey {

// To be called in a catch block. kResourceExhausted where memory, descriptors or threads ran out, kDiskFull
// where the disk did, kInternal otherwise.
Error error_of_exception();

// `work()`, a Result, or the error of what it threw.
template <class Work>
std::invoke_result_t<Work> caught(Work&& work) {
  try {
    return std::forward<Work>(work)();
  } catch (...) {
    return unexpected(error_of_exception());
  }
}

}  // namespace covey
