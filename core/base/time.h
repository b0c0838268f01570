// Strong time: an Instant is nanoseconds since the Unix epoch, a Duration a span of them.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace covey {

using Duration = std::chrono::nanoseconds;

struct CoveyEpoch {  // a std::chrono clock tag; time is read through Clock, never through this
  using duration = Duration;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<CoveyEpoch, Duration>;
  static constexpr bool is_steady = true;
};
using Instant = CoveyEpoch::time_point;

inline std::int64_t unix_nanos(Instant instant) { return instant.time_since_epoch().count(); }
inline Instant instant_of_nanos(std::int64_t nanos) { return Instant(Duration(nanos)); }
inline double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
inline Duration from_seconds(double value) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(value));
}

// "2026-01-31T12:34:56.789Z"
std::string iso8601(Instant instant);

using namespace std::chrono_literals;

}  // namespace covey
