#include "core/base/clock.h"

#include <chrono>

namespace covey {
namespace {

template <class SourceClock>
std::int64_t nanos_of() {
  const auto since = SourceClock::now().time_since_epoch();
  return std::chrono::duration_cast<Duration>(since).count();
}

}  // namespace

SystemClock::SystemClock()
    : offset_nanos_(nanos_of<std::chrono::system_clock>() - nanos_of<std::chrono::steady_clock>()) {}

Instant SystemClock::now() {
  return instant_of_nanos(offset_nanos_ + nanos_of<std::chrono::steady_clock>());
}

}  // namespace covey
