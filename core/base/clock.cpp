#include "core/base/clock.h"

#include <chrono>
#include <ctime>
#include <utility>

#include "core/base/check.h"

namespace covey {
namespace {

Duration since_boot() {
  timespec time{};
  COVEY_CHECK(::clock_gettime(CLOCK_BOOTTIME, &time) == 0);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

Instant on_the_wall() {
  return Instant(std::chrono::duration_cast<Duration>(std::chrono::system_clock::now().time_since_epoch()));
}

}  // namespace

SystemClock::SystemClock() : SystemClock(Sources{on_the_wall, since_boot}) {}

SystemClock::SystemClock(Sources sources) : sources_(std::move(sources)), begin_(sources_.wall() - sources_.passed()) {}

Instant SystemClock::now() { return begin_ + sources_.passed(); }

}  // namespace covey
