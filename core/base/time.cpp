#include "core/base/time.h"

#include <array>
#include <cstdio>

namespace covey {

std::string iso8601(Instant instant) {
  using namespace std::chrono;
  const auto since = floor<milliseconds>(instant.time_since_epoch());
  const auto whole_days = floor<days>(since);
  const year_month_day date{sys_days(whole_days)};
  const hh_mm_ss time{since - whole_days};
  std::array<char, 40> text{};
  const int length = std::snprintf(
      text.data(), text.size(), "%04d-%02u-%02uT%02d:%02d:%02d.%03dZ", static_cast<int>(date.year()),
      static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
      static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
      static_cast<int>(time.seconds().count()), static_cast<int>(time.subseconds().count()));
  return std::string(text.data(), static_cast<std::size_t>(length));
}

}  // namespace covey
