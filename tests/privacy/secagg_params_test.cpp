#include "privacy/secagg_params.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "privacy/hypergeometric.h"

namespace covey {
namespace {

Graph graph(std::uint32_t n, std::uint32_t corrupt, double delta, unsigned split, std::uint32_t silent = 0) {
  const auto millionths = static_cast<std::uint32_t>(std::lround(delta * kMillionths));
  const auto made = graph_for({n, corrupt, present_min(n, millionths), silent, 80, 20, split});
  REQUIRE_MESSAGE(made.has_value(), made.error().message);
  return *made;
}
Graph ring_of(std::uint32_t n, std::uint32_t k, std::uint32_t t, std::uint32_t w, std::uint32_t q, std::uint32_t c) {
  return {n, false, k, t, w, c, q, q};
}

TEST_CASE("tails are exact: small laws by hand, and far tails to 2^-80 and below") {
  const auto law = DiscreteLaw::hypergeometric(10, 4, 3);  // 120 draws: 20, 60, 36, 4
  CHECK(law.above(0) == doctest::Approx(100.0 / 120).epsilon(1e-14));
  CHECK(law.above(1) == doctest::Approx(40.0 / 120).epsilon(1e-14));
  CHECK(law.above(2) == doctest::Approx(4.0 / 120).epsilon(1e-14));
  CHECK(law.above(3) == 0);
  CHECK(law.below(2) == doctest::Approx(80.0 / 120).epsilon(1e-14));
  CHECK(law.below(99) == doctest::Approx(1).epsilon(1e-14));
  CHECK(law.quantile_above(0.35) == 1);
  // All 30 marked among 30 of 60: 1 / C(60, 30), about 2^-56.7.
  CHECK(DiscreteLaw::hypergeometric(60, 30, 30).above(29) == doctest::Approx(1 / 118264581564861424.0).epsilon(1e-12));
  // 1 / C(100, 50), about 2^-96.
  CHECK(DiscreteLaw::hypergeometric(100, 50, 50).above(49) ==
        doctest::Approx(1 / 1.0089134454556419e29).epsilon(1e-12));
  const auto all = DiscreteLaw::hypergeometric(10, 8, 5);  // at least 3 are marked
  CHECK(all.below(3) == 0);
  CHECK(all.above(2) == 1);
  CHECK(DiscreteLaw::binomial(40, 0.5).above(39) == doctest::Approx(std::ldexp(1.0, -40)).epsilon(1e-12));
}

TEST_CASE("every row of the published ring parameters is reproduced") {
  std::ifstream file(COVEY_SOURCE_DIR "/tests/vectors/secagg/graph_params.csv");
  std::string line;
  std::getline(file, line);
  int rows = 0;
  while (std::getline(file, line)) {
    for (char& c : line)
      if (c == ',') c = ' ';
    std::istringstream in(line);
    std::string scheme;
    std::uint32_t n = 0, k = 0, t = 0, w = 0, c = 0, q = 0;
    double gamma = 0, delta = 0;
    unsigned sigma = 0, eta = 0;
    in >> scheme >> n >> gamma >> delta >> sigma >> eta >> k >> t >> w >> c >> q;
    REQUIRE(static_cast<bool>(in));
    const auto corrupt = static_cast<std::uint32_t>(std::lround(n * gamma * 1000) / 1000);
    const auto present = present_min(n, static_cast<std::uint32_t>(std::lround(delta * kMillionths)));
    const auto made = graph_for({n, corrupt, present, 0, sigma, eta, 1});
    INFO(line);
    REQUIRE(made.has_value());
    CHECK(*made == ring_of(n, k, t, w, q, c));
    ++rows;
  }
  CHECK(rows == 48);
}

TEST_CASE("with a third event counted, the values of the review") {
  CHECK(graph(1000, 100, .1, 2) == ring_of(1000, 130, 56, 41, 76, 104));
  CHECK(graph(1000, 100, .2, 2) == ring_of(1000, 180, 65, 48, 128, 192));
  CHECK(graph(1000, 100, .3, 2) == ring_of(1000, 240, 74, 54, 240, 392));
  CHECK(graph(10000, 1000, .1, 2) == ring_of(10000, 156, 70, 49, 89, 120));
  CHECK(graph(10000, 1000, .2, 2) == ring_of(10000, 220, 84, 58, 171, 256));
  CHECK(graph(10000, 1000, .3, 2) == ring_of(10000, 306, 102, 69, 424, 688));
}

TEST_CASE("with silent corrupt members, the values of the review") {
  CHECK(graph(1000, 100, .1, 1, 100) == ring_of(1000, 178, 64, 47, 128, 192));
  CHECK(graph(1000, 100, .2, 1, 100) == ring_of(1000, 240, 73, 54, 240, 392));
  CHECK(graph(1000, 100, .3, 1, 100) == ring_of(1000, 320, 83, 61, 455, 808));
  CHECK(graph(10000, 1000, .1, 1, 1000) == ring_of(10000, 216, 83, 57, 166, 248));
  CHECK(graph(10000, 1000, .2, 1, 1000) == ring_of(10000, 302, 100, 68, 423, 688));
  CHECK(graph(10000, 1000, .3, 1, 1000) == ring_of(10000, 432, 124, 83, 2211, 3880));
}

TEST_CASE("a sampled cohort's bound and rings, the values of the review") {
  CHECK(corrupt_bound_drawn(100000, 100000, 1000, 80) == 210);    // exactly 1,000 of 100,000
  CHECK(corrupt_bound_sampled(100000, 100000, .01, 80) == 219);  // a coin each: their number varies too
  CHECK(graph(1000, 210, .1, 1) == ring_of(1000, 196, 102, 68, 124, 160));
  CHECK(graph(1000, 210, .2, 1) == ring_of(1000, 284, 127, 85, 226, 320));
  CHECK(graph(1000, 210, .3, 1) == ring_of(1000, 398, 154, 103, 426, 656));
  // 100 drawn of many: more than a third may be corrupt, so no graph is safe.
  CHECK(corrupt_bound_drawn(1000, 100000, 100, 80) == 47);
  const std::uint32_t bound = corrupt_bound_drawn(10000, 100000, 100, 80);
  CHECK(bound == 51);
  CHECK_FALSE(graph_for({100, bound, 90, 0, 80, 20, 2}).has_value());
  CHECK(corrupt_bound_fixed(1000, 100000) == 100);
  CHECK(corrupt_bound_fixed(5, 100000) == 1);
}

TEST_CASE("up to 128 members: a complete graph of two thirds") {
  CHECK(graph(10, 1, .3, 2) == Graph{10, true, 9, 7, 0, 10, 7, 5});
  CHECK(graph(100, 10, .1, 2, 10) == Graph{100, true, 99, 67, 0, 100, 67, 44});
  CHECK(graph(3, 1, .0, 2) == Graph{3, true, 2, 3, 0, 3, 3, 2});
  CHECK(graph(128, 12, .1, 2).complete);
  CHECK_FALSE(graph(129, 12, .1, 2).complete);
  // Silent members must not stop it; two quorums still share an honest member.
  CHECK(graph(100, 10, .3, 2, 10) == Graph{100, true, 99, 60, 0, 100, 60, 51});
  for (std::uint32_t n = 2; n <= 128; ++n)
    for (std::uint32_t corrupt = 1; corrupt <= n / 3; ++corrupt) {
      const auto made = graph_for({n, corrupt, present_min(n, 300000), 0, 80, 20, 2});
      if (!made) continue;
      CHECK(2 * made->threshold > n + corrupt);
      CHECK(2 * made->quorum > n + corrupt);
      CHECK(made->threshold <= present_min(n, 300000));
    }
  CHECK_FALSE(graph_for({100, 34, 100, 0, 80, 20, 2}).has_value());
  CHECK_FALSE(graph_for({10, 1, 5, 0, 80, 20, 2}).has_value());
}

TEST_CASE("two committee quorums share an honest member") {
  for (const double delta : {.1, .2, .3}) {
    const Graph g = graph(1000, 100, delta, 2);
    const auto law = DiscreteLaw::hypergeometric(1000, 100, g.committee);
    CHECK(law.above(2 * g.quorum - g.committee - 1) <= std::ldexp(1.0, -82));
  }
}

TEST_CASE("parameters that cannot be served are refused with a remedy") {
  for (const GraphRequest& request : {GraphRequest{1, 0, 1}, GraphRequest{10, 10, 10}, GraphRequest{10, 1, 11},
                                      GraphRequest{200, 120, 130}, GraphRequest{kSecAggMembersMax + 1, 1, 1}}) {
    const auto made = graph_for(request);
    REQUIRE_FALSE(made.has_value());
    CHECK(made.error().code == ErrorCode::kInvalidArgument);
    CHECK(made.error().message.find("members") != std::string::npos);
  }
}

TEST_CASE("the draw follows its chance and is bound to beacon, task and round") {
  Draw draw;
  draw.chance_2_64 = std::uint64_t{1} << 62;  // a quarter
  int in = 0, moved = 0;
  Draw later = draw;
  later.round = 1;
  for (std::uint8_t a = 0; a < 100; ++a)
    for (std::uint8_t b = 0; b < 40; ++b) {
      const std::array<std::uint8_t, 2> subject{a, b};
      in += drawn(draw, subject) ? 1 : 0;
      moved += drawn(draw, subject) != drawn(later, subject) ? 1 : 0;
    }
  CHECK(in > 880);
  CHECK(in < 1120);
  CHECK(moved > 1300);
}

}  // namespace
}  // namespace covey
