#include "client/capability.h"

#include <doctest/doctest.h>

using namespace covey;

TEST_CASE("capability: what the machine has, and speed by a product") {
  SystemClock clock;
  const auto ops = make_cpu_ops();
  const Instant begin = clock.now();
  const Capability capability = measure_capability(*ops, clock, {});
  CHECK(capability.device == "cpu");
  CHECK(capability.cores >= 1);
  CHECK(capability.memory_bytes > std::uint64_t{16} << 20);
  CHECK(capability.gflops > 0.01);
  CHECK(capability.gflops < 1e6);
  CHECK(clock.now() - begin >= 50ms);
}

TEST_CASE("capability: a site lends less than it has, never more") {
  SystemClock clock;
  const auto ops = make_cpu_ops();
  const Capability all = measure_capability(*ops, clock, {});
  const Capability some = measure_capability(*ops, clock, {.cores = 1, .memory_bytes = 1 << 20});
  CHECK(some.cores == 1);
  CHECK(some.memory_bytes == 1 << 20);
  const Capability more = measure_capability(*ops, clock, {.cores = 1'000'000, .memory_bytes = ~std::uint64_t{0}});
  CHECK(more.cores == all.cores);
  CHECK(more.memory_bytes == all.memory_bytes);
}
