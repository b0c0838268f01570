#include "core/base/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>

using namespace covey;

TEST_CASE("random: xoshiro256** seeded through SplitMix64, as published") {
  // Computed by an independent program that gives SplitMix64's known first output for 1234567,
  // 6457827717110365317, and xoshiro256**'s known outputs for the state 1, 2, 3, 4.
  Random random(1234567);
  for (const std::uint64_t expected :
       {0x30a3a1c363600467U, 0x19405f0f579929caU, 0x115beaac046ddbd9U, 0xeb17caf48f27d7f6U,
        0xa0c94fe1cce9d136U, 0x70e3326578802da2U})
    CHECK(random.next() == expected);
  Random zero(0);
  for (const std::uint64_t expected :
       {0x99ec5f36cb75f2b4U, 0xbf6e1f784956452aU, 0x1a5f849d4933e6e0U, 0x6aa594f1262d2d2cU})
    CHECK(zero.next() == expected);
}

TEST_CASE("random: derived values are the same on every machine") {
  Random random(7);
  CHECK(random.split("clients", 3).next() == 0xf6d91d1d22cdcbcdU);
  CHECK(random.below(1000) == 700);
  CHECK(random.normal() == -0x1.00123db8e278dp-1);
  CHECK(random.exponential() == 0x1.fbf6ec4f63ffcp+1);
  CHECK(random.gamma(0.3) == 0x1.1c2dbad43b4f7p-7);
  CHECK(random.gamma(4.5) == 0x1.91d54d08f357ap+0);
}

TEST_CASE("random: its own log and exp agree with the C library's") {
  Random random(5);
  for (int i = 0; i < 10000; ++i) {
    Random same = random;
    const double exponential = random.exponential();
    REQUIRE(exponential == doctest::Approx(-std::log(1 - same.uniform())).epsilon(1e-14));
  }
  for (int i = 0; i < 2000; ++i) {
    Random same = random;
    const double gamma = random.gamma(0.05);
    const double larger = same.gamma(1.05);
    const double expected = larger * std::exp(-same.exponential() / 0.05);
    REQUIRE(std::abs(gamma - expected) <= 1e-13 * expected + 1e-320);
  }
}

TEST_CASE("random: below() is within bounds and unbiased") {
  Random random(1);
  for (int i = 0; i < 100; ++i) CHECK(random.below(1) == 0);
  // Three quarters of 2^64, where the simple ways are at their worst: a plain modulo would hit the
  // lowest third twice as often, a plain multiplication every multiple of three.
  const std::uint64_t bound = 3ULL << 62;
  std::array<int, 3> thirds{};
  std::array<int, 3> remainders{};
  constexpr int kDraws = 30000;
  for (int i = 0; i < kDraws; ++i) {
    const std::uint64_t value = random.below(bound);
    REQUIRE(value < bound);
    ++thirds[static_cast<std::size_t>(value >> 62)];
    ++remainders[static_cast<std::size_t>(value % 3)];
  }
  for (const int count : thirds) CHECK(std::abs(count - kDraws / 3) < 500);  // six standard deviations
  for (const int count : remainders) CHECK(std::abs(count - kDraws / 3) < 500);
  std::array<int, 7> sevenths{};
  for (int i = 0; i < 70000; ++i) ++sevenths[static_cast<std::size_t>(random.below(7))];
  for (const int count : sevenths) CHECK(std::abs(count - 10000) < 560);
}

TEST_CASE("random: uniform, normal, exponential and gamma have their moments") {
  Random random(2);
  constexpr int kDraws = 200000;
  const auto moments = [&](auto draw) {
    double sum = 0;
    double squares = 0;
    for (int i = 0; i < kDraws; ++i) {
      const double value = draw();
      REQUIRE(std::isfinite(value));
      sum += value;
      squares += value * value;
    }
    const double mean = sum / kDraws;
    return std::pair(mean, squares / kDraws - mean * mean);
  };
  const auto check = [&](auto draw, double mean, double variance) {
    const auto [m, v] = moments(draw);
    CHECK(m == doctest::Approx(mean).epsilon(0.001).scale(10));
    CHECK(v == doctest::Approx(variance).epsilon(0.04));
  };
  check([&] {
    const double value = random.uniform();
    REQUIRE((value >= 0 && value < 1));
    return value;
  }, 0.5, 1.0 / 12);
  check([&] { return random.normal(); }, 0, 1);
  check([&] { return random.exponential(); }, 1, 1);
  check([&] { return random.gamma(0.5); }, 0.5, 0.5);
  check([&] { return random.gamma(3); }, 3, 3);
  // The normal's tail: P(|x| > 2) = 0.0455.
  int beyond = 0;
  for (int i = 0; i < kDraws; ++i) beyond += std::abs(random.normal()) > 2 ? 1 : 0;
  CHECK(beyond / static_cast<double>(kDraws) == doctest::Approx(0.0455).epsilon(0.06));
}

TEST_CASE("random: Dirichlet sums to one, even where every gamma would underflow") {
  Random random(3);
  for (const double alpha : {1e-4, 0.01, 0.1, 1.0, 10.0, 1e4}) {
    CAPTURE(alpha);
    for (int i = 0; i < 50; ++i) {
      const std::vector<double> parts = random.dirichlet(alpha, 10);
      REQUIRE(parts.size() == 10);
      CHECK(std::accumulate(parts.begin(), parts.end(), 0.0) == doctest::Approx(1).epsilon(1e-12));
      for (const double part : parts) CHECK((part >= 0 && part <= 1));
    }
  }
  // A small alpha gives nearly all to one, a large one nearly the same to each.
  const auto skewed = random.dirichlet(0.001, 10);
  CHECK(*std::max_element(skewed.begin(), skewed.end()) > 0.9);
  const auto even = random.dirichlet(1e4, 10);
  CHECK(*std::max_element(even.begin(), even.end()) < 0.11);
  double first = 0;
  for (int i = 0; i < 4000; ++i) first += random.dirichlet(0.5, 4)[0];
  CHECK(first / 4000 == doctest::Approx(0.25).epsilon(0.08));
}

TEST_CASE("random: splitting depends on label and numbers, not on order or use") {
  const Random root(9);
  Random used(9);
  used.next();
  Random a = root.split("a", 1);
  CHECK(Random(root).split("b", 2).next() != Random(root).split("b", 3).next());
  Random again = root.split("a", 1);
  Random after_use = used.split("a", 1);
  const std::uint64_t value = a.next();
  CHECK(again.next() == value);
  CHECK(after_use.next() == value);

  std::set<std::uint64_t> firsts;
  std::size_t streams = 0;
  for (const char* label : {"", "a", "b", "ab", "ba", "aa"})
    for (std::uint64_t x = 0; x < 20; ++x)
      for (std::uint64_t y = 0; y < 20; ++y, ++streams) firsts.insert(root.split(label, x, y).next());
  CHECK(firsts.size() == streams);
  CHECK(root.split("a").split("b").next() != root.split("b").split("a").next());

  // Neighbouring streams agree in half of their bits, as independent ones do.
  int agreeing = 0;
  for (std::uint64_t x = 0; x < 1000; ++x)
    agreeing += std::popcount(~(root.split("n", x).next() ^ root.split("n", x + 1).next()));
  CHECK(std::abs(agreeing - 32000) < 800);
}

TEST_CASE("random: shuffle keeps the items and reaches every order alike") {
  Random random(11);
  std::vector<int> counts(6);
  for (int i = 0; i < 12000; ++i) {
    std::array<int, 3> items{0, 1, 2};
    random.shuffle(std::span<int>(items));
    REQUIRE(std::set<int>(items.begin(), items.end()).size() == 3);
    ++counts[static_cast<std::size_t>(items[0] * 2 + (items[1] > items[2] ? 1 : 0))];
  }
  for (const int count : counts) CHECK(std::abs(count - 2000) < 250);
}
