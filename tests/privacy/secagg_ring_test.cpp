#include "privacy/ring.h"

#include <doctest/doctest.h>

#include "core/base/random.h"

namespace covey {
namespace {

constexpr unsigned kWidths[] = {2, 7, 8, 16, 20, 21, 31, 32, 33, 62};
std::uint64_t lane_of(const std::vector<std::uint64_t>& words, std::size_t i, const Ring& ring) {
  return (words[i / ring.lanes()] >> (i % ring.lanes() * ring.width())) & ring.lane_mask();
}
std::vector<std::uint64_t> noise(std::size_t words, std::uint64_t seed) {
  Random random(seed);
  std::vector<std::uint64_t> result(words);
  for (auto& word : result) word = random.next();
  return result;
}

TEST_CASE("ring: pack and unpack give back every centred value, at the ends too") {
  for (const unsigned width : kWidths) {
    const Ring ring = *Ring::of_width(width);
    const std::int64_t half = std::int64_t{1} << (width - 1);
    for (const std::size_t count : {0U, 1U, 2U, 3U, 7U, 64U, 101U}) {
      Random random(width * 1000 + count);
      std::vector<std::int64_t> values(count);
      for (auto& value : values)
        value = static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(half) * 2)) - half;
      if (count > 1) values[0] = half - 1, values[1] = -half;
      const auto words = pack(values, ring);
      CHECK(words.size() == ring.words(count));
      CHECK(check_packed(words, count, ring).has_value());
      CHECK(unpack(words, count, ring) == values);
    }
  }
}

TEST_CASE("ring: lanes add and subtract apart from each other, whatever lies outside them") {
  for (const unsigned width : kWidths) {
    const Ring ring = *Ring::of_width(width);
    for (const std::size_t words : {1U, 7U, 8U, 9U, 100U}) {
      auto x = noise(words, 1), y = noise(words, 2);
      for (auto& word : x) word &= ring.used_bits();
      const auto before = x;
      combine(x, y, Sign::kPlus, ring);
      for (std::size_t i = 0; i < words * ring.lanes(); ++i)
        CHECK(lane_of(x, i, ring) == ((lane_of(before, i, ring) + lane_of(y, i, ring)) & ring.lane_mask()));
      for (const auto word : x) CHECK((word & ~ring.used_bits()) == 0);
      combine(x, y, Sign::kMinus, ring);
      CHECK(x == before);
      combine(x, y, Sign::kMinus, ring);
      for (std::size_t i = 0; i < words * ring.lanes(); ++i)
        CHECK(lane_of(x, i, ring) == ((lane_of(before, i, ring) - lane_of(y, i, ring)) & ring.lane_mask()));
    }
  }
}

TEST_CASE("ring: two at once are one after the other, with any signs") {
  for (const unsigned width : kWidths)
    for (const std::size_t words : {1U, 8U, 21U})
      for (const Sign first : {Sign::kPlus, Sign::kMinus})
        for (const Sign second : {Sign::kPlus, Sign::kMinus}) {
          const Ring ring = *Ring::of_width(width);
          auto x = noise(words, 1);
          for (auto& word : x) word &= ring.used_bits();
          const auto y = noise(words, 2), z = noise(words, 3);
          auto expected = x;
          combine(expected, y, first, ring);
          combine(expected, z, second, ring);
          combine_two(x, {y, first}, {z, second}, ring);
          CHECK(x == expected);
        }
}

TEST_CASE("ring: width from cohort and magnitude holds the sum and costs no space") {
  CHECK(Ring::for_sum(1000, 32)->width() == 16);       // 64001 of 65536
  CHECK(Ring::for_sum(1000, 33)->width() == 21);       // 17 bits; three lanes anyway
  CHECK(Ring::for_sum(1000, 1 << 20)->width() == 32);
  CHECK(Ring::for_sum(1, 127)->width() == 8);
  CHECK(Ring::for_sum(1, 128)->width() == 9);
  for (const std::uint32_t n : {1U, 3U, 1000U, 65536U})
    for (const std::uint64_t most : {1ULL, 100ULL, 65535ULL, 1ULL << 30}) {
      const auto ring = Ring::for_sum(n, most);
      REQUIRE(ring.has_value());
      CHECK((ring->lane_mask() - 1) / 2 >= n * most);
    }
  CHECK_FALSE(Ring::for_sum(1000, std::uint64_t{1} << 60).has_value());
  CHECK_FALSE(Ring::for_sum(0, 1).has_value());
}

TEST_CASE("overflow at n(2^v-1) = 2^b-1, 2^b: exact; config rejected") {
  CHECK(check_ring_holds(8, 1, 8).has_value());      // 255 = 2^8 - 1
  CHECK(check_ring_holds(16, 257, 8).has_value());   // 257 * 255 = 65535
  CHECK_FALSE(check_ring_holds(16, 258, 8).has_value());
  CHECK(check_ring_holds(4, 15, 1).has_value());
  CHECK_FALSE(check_ring_holds(4, 16, 1).has_value());  // 16 = 2^4
  const Ring ring = *Ring::of_width(16);
  std::vector<std::uint64_t> sum(1);
  const auto each = pack(std::vector<std::int64_t>{255, 255, 255, 255}, ring);
  for (int i = 0; i < 257; ++i) combine(sum, each, Sign::kPlus, ring);
  CHECK(sum[0] == ~std::uint64_t{0});
}

TEST_CASE("ring: bits outside the lanes and wrong lengths are refused") {
  const Ring ring = *Ring::of_width(20);
  std::vector<std::uint64_t> words(2);
  CHECK(check_packed(words, 6, ring).has_value());
  CHECK_FALSE(check_packed(words, 7, ring).has_value());
  words[0] = std::uint64_t{1} << 60;
  CHECK_FALSE(check_packed(words, 6, ring).has_value());
  words = {0, std::uint64_t{1} << 20};
  CHECK_FALSE(check_packed(words, 4, ring).has_value());
  CHECK(check_packed(words, 5, ring).has_value());
  for (const unsigned width : {0U, 1U, 63U, 64U, 1000U}) CHECK_FALSE(Ring::of_width(width).has_value());
}

}  // namespace
}  // namespace covey
