#include "core/base/time.h"

#include <doctest/doctest.h>

#include "core/base/clock.h"

using namespace covey;

TEST_CASE("time: ISO 8601 in UTC with milliseconds, rounded down") {
  CHECK(iso8601(instant_of_nanos(0)) == "1970-01-01T00:00:00.000Z");
  CHECK(iso8601(instant_of_nanos(1769862896789999999)) == "2026-01-31T12:34:56.789Z");
  CHECK(iso8601(instant_of_nanos(1709164799999000000)) == "2024-02-28T23:59:59.999Z");
  CHECK(iso8601(instant_of_nanos(1709164799999000000) + 1ms) == "2024-02-29T00:00:00.000Z");
  CHECK(iso8601(instant_of_nanos(-1)) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("time: durations and seconds") {
  CHECK(seconds(1500ms) == 1.5);
  CHECK(from_seconds(0.25) == 250ms);
  CHECK(unix_nanos(instant_of_nanos(5) + 1us) == 1005);
}

TEST_CASE("system clock: starts at the wall clock and never goes back") {
  SystemClock clock;
  const auto wall = std::chrono::system_clock::now().time_since_epoch();
  Instant last = clock.now();
  CHECK(std::abs(unix_nanos(last) - std::chrono::nanoseconds(wall).count()) < 60'000'000'000);
  for (int i = 0; i < 10000; ++i) {
    const Instant now = clock.now();
    REQUIRE(now >= last);
    last = now;
  }
}
TEST_CASE("clock: a wall clock that jumps a day moves nothing until the process starts again") {
  Instant wall = instant_of_nanos(1'700'000'000'000'000'000);
  Duration passed = 5h;
  const SystemClock::Sources sources{[&] { return wall; }, [&] { return passed; }};
  SystemClock clock(sources);
  const Instant begin = clock.now();
  CHECK(begin == wall);
  for (const Duration jump : {Duration(24h), Duration(-48h), Duration(1s)}) {
    wall += jump;
    const Instant before = clock.now();
    passed += 3s;
    CHECK(clock.now() - before == 3s);
  }
  CHECK(clock.now() - begin == 9s);
  CHECK(SystemClock(sources).now() == wall);
}


