// Row 31 of the reliability table in a shorter form: comings and goings leave nothing behind.
#include "bench/load/soak.h"

#include <doctest/doctest.h>

using namespace covey;

TEST_CASE("soak: ten thousand comings and goings leave no connection, no thread and little memory behind") {
  const load::Soaked soaked = load::soak({.visits = 10'000, .nodes = 2'000, .batches = 10, .seconds_max = 300});
  MESSAGE(soaked.text());
  REQUIRE(soaked.why == "");
  CHECK(soaked.joined == 10'000);
  CHECK(soaked.not_joined == 0);
  CHECK(soaked.downloads_cut > 100);
  CHECK(soaked.uploads_cut > 10);
  CHECK(soaked.rounds > 0);
  CHECK(soaked.sockets_gained() == 0);
  CHECK(soaked.threads_gained() == 0);
  CHECK(soaked.files_gained() <= 8);  // the store's tables come and go
  // Its tables and caches are still filling after 2,000 visits; row 31 has the strict bound from 20,000 on.
  CHECK(soaked.rss_growth_percent(0.5) <= 15);
}
