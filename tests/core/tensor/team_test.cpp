// A team of threads: every piece is done once, whatever the sizes.
#include <doctest/doctest.h>

#include <atomic>
#include <vector>

#include "core/tensor/team.h"

namespace covey {
namespace {

TEST_CASE("team: every piece is done once, call after call") {
  for (const int threads : {1, 2, 5}) {
    Team team(threads);
    CHECK(team.size() == threads);
    for (std::int64_t pieces = 0; pieces < 200; ++pieces) {
      std::vector<std::atomic<int>> done(static_cast<std::size_t>(pieces));
      std::atomic<bool> known{true};
      team.run(pieces, [&](std::int64_t piece, int member) {
        ++done[static_cast<std::size_t>(piece)];
        if (member < 0 || member >= threads) known = false;
      });
      for (const std::atomic<int>& count : done) CHECK(count == 1);
      CHECK(known);
    }
  }
}

TEST_CASE("team: what a call wrote is there when it returns") {
  Team team(3);
  std::vector<std::int64_t> values(1000);
  for (int call = 0; call < 500; ++call) {
    team.run(10, [&](std::int64_t piece, int) {
      for (std::int64_t i = piece * 100; i < piece * 100 + 100; ++i) values[static_cast<std::size_t>(i)] += i;
    });
  }
  for (std::size_t i = 0; i < values.size(); ++i) CHECK(values[i] == static_cast<std::int64_t>(500 * i));
}

TEST_CASE("team: ends without having been used") {
  for (int i = 0; i < 50; ++i) Team team(4);
}

}  // namespace
}  // namespace covey
