#include "aggregation/fixed_sum.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "aggregation/fixed_sum_kernels.h"
#include "core/base/random.h"

namespace covey {
namespace {

std::vector<float> normals(std::uint64_t seed, std::size_t count, double deviation) {
  Random random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(deviation * random.normal());
  return values;
}

}  // namespace

TEST_CASE("fixed sum: the scale leaves 32 bits for the bound") {
  CHECK(sum_scale({}) == SumScale{64, 26});
  CHECK(sum_scale({.clip_norm = 0, .value_max = 65}).shift == 25);
  CHECK(sum_scale({.clip_norm = 0.9, .value_max = 64}).shift == 32);
  CHECK(sum_scale({.clip_norm = 1e6, .value_max = 64}) == SumScale{64, 26});
  // The largest element that a clipped update may have is not refused for its rounding.
  const SumScale clipped = sum_scale({.clip_norm = 2, .value_max = 64});
  CHECK(clipped.bound > 2.0F);
  CHECK(std::ldexp(static_cast<double>(clipped.bound), clipped.shift) <= 4294967296.0);
}

TEST_CASE("fixed sum: any cohort's weights stay within what cannot overflow") {
  for (const std::size_t cohort : {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{64}, std::size_t{65},
                                   std::size_t{10'000}, std::size_t{10'000'000}}) {
    const std::int64_t most = weight_of(std::numeric_limits<std::uint64_t>::max(), cohort);
    CHECK(most >= 1);
    CHECK(most <= kWeightMax / static_cast<std::int64_t>(cohort));
    CHECK(weight_of(1, cohort) == 1);
  }
  CHECK(weight_of(60'000, 1000) == 60'000);
}

TEST_CASE("fixed sum: the extremes fit: all the weight there is on the largest elements") {
  const SumScale scale = sum_scale({});
  const std::vector<float> ends{64, -64};
  std::vector<std::int64_t> sum(2);
  std::vector<double> mean(2);
  REQUIRE_FALSE(add_checked(sum, ends, kWeightMax, scale).refused);
  CHECK(sum == std::vector<std::int64_t>{std::int64_t{1} << 62, -(std::int64_t{1} << 62)});
  mean_of(sum, kWeightMax, scale, mean);
  CHECK(mean == std::vector<double>{64, -64});
}

TEST_CASE("fixed sum: the mean is within its bound of the exact one, from tiny to large elements") {
  const SumScale scale = sum_scale({});
  constexpr std::size_t kCount = 1003;  // ends within a vector
  for (const double deviation : {1e-9, 1e-4, 1.0, 10.0}) {
    std::vector<std::int64_t> sum(kCount);
    std::vector<long double> exact(kCount);
    std::int64_t total = 0;
    for (std::uint64_t client = 0; client < 40; ++client) {
      const std::vector<float> update = normals(client, kCount, deviation);
      const std::int64_t weight = 1 + static_cast<std::int64_t>(client * client * 37);
      REQUIRE_FALSE(add_checked(sum, update, weight, scale).refused);
      for (std::size_t i = 0; i < kCount; ++i)
        exact[i] += static_cast<long double>(weight) * static_cast<long double>(update[i]);
      total += weight;
    }
    std::vector<double> mean(kCount);
    mean_of(sum, total, scale, mean);
    double worst = 0;
    for (std::size_t i = 0; i < kCount; ++i)
      worst = std::max(worst, std::abs(static_cast<double>(static_cast<long double>(mean[i]) -
                                                           exact[i] / static_cast<long double>(total))));
    CHECK(worst <= std::ldexp(1.0, -scale.shift - 1) * 1.000001);
    CHECK(worst > 0);
  }
}

TEST_CASE("fixed sum: any order, and taking out again, are the same bits") {
  const SumScale scale = sum_scale({});
  constexpr std::size_t kCount = 5000, kClients = 9;
  std::vector<std::vector<float>> updates;
  for (std::uint64_t n = 0; n < kClients; ++n) updates.push_back(normals(n, kCount, 0.3));
  std::vector<std::int64_t> forward(kCount), backward(kCount);
  for (std::size_t n = 0; n < kClients; ++n) {
    add_checked(forward, updates[n], static_cast<std::int64_t>(n + 1), scale);
    add_checked(backward, updates[kClients - 1 - n], static_cast<std::int64_t>(kClients - n), scale);
  }
  CHECK(forward == backward);
  std::vector<std::int64_t> without(kCount);
  for (std::size_t n = 1; n < kClients; ++n) add_checked(without, updates[n], static_cast<std::int64_t>(n + 1), scale);
  subtract(forward, updates[0], 1, scale);
  CHECK(forward == without);
}

TEST_CASE("fixed sum: what is not a number or too large is refused by its place, and nothing is added") {
  const SumScale scale = sum_scale({.clip_norm = 0, .value_max = 2});
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), kInfinity, -kInfinity, 2.0001F, -2.5F, 1e38F})
    for (const std::size_t place : {std::size_t{0}, std::size_t{7}, std::size_t{4096}, std::size_t{65'535}, std::size_t{65'536},
                                    std::size_t{69'998}, std::size_t{69'999}}) {
      std::vector<float> update(70'000, 0.5F);
      update[place] = bad;
      std::vector<std::int64_t> sum(update.size(), 11);
      CHECK(add_checked(sum, update, 3, scale).refused == place);
      CHECK(std::count(sum.begin(), sum.end(), 11) == 70'000);
      CHECK(check_values(update, scale).refused == place);
    }
  const std::vector<float> edge{2, -2, 0, -0.0F, std::numeric_limits<float>::denorm_min()};
  CHECK_FALSE(check_values(edge, scale).refused);
  CHECK(refusal_of(2.5F, 7, scale).find("element 7 is 2.5; update.value_max") == 0);
}

TEST_CASE("fixed sum: every instruction set gives the bits of the generic loops") {
  const fixed_sum::Usable usable = fixed_sum::usable_kernels();
  REQUIRE(usable.count >= 1);
  const std::vector<float> values = normals(5, 4099, 3);
  const fixed_sum::Kernels& plain = fixed_sum::generic_kernels();
  for (std::size_t set = 0; set < usable.count; ++set) {
    const fixed_sum::Kernels& kernels = *usable.sets[set];
    CAPTURE(kernels.name);
    double ours[fixed_sum::kLanes] = {}, theirs[fixed_sum::kLanes] = {};
    const auto bound = std::bit_cast<std::int32_t>(64.0F);
    CHECK(kernels.check(values.data(), values.size(), bound, ours));
    CHECK(plain.check(values.data(), values.size(), bound, theirs));
    CHECK(std::equal(ours, ours + fixed_sum::kLanes, theirs));
    CHECK_FALSE(kernels.check(values.data(), values.size(), std::bit_cast<std::int32_t>(1.0F), ours));
    std::vector<std::int64_t> a(values.size(), 5), b(values.size(), 5);
    kernels.add(a.data(), values.data(), values.size(), 67108864.0, -12345);
    plain.add(b.data(), values.data(), values.size(), 67108864.0, -12345);
    CHECK(a == b);
    double also[fixed_sum::kLanes] = {};
    CHECK(kernels.check_and_add(a.data(), values.data(), values.size(), {bound, 67108864.0, 12345}, also));
    CHECK(std::equal(also, also + fixed_sum::kLanes, theirs));
    CHECK(std::count(a.begin(), a.end(), 5) == static_cast<std::ptrdiff_t>(a.size()));
  }
}

TEST_CASE("fixed sum: every instruction set takes out again what it made of no numbers") {
  const fixed_sum::Usable usable = fixed_sum::usable_kernels();
  std::vector<float> values = normals(6, 4099, 3);
  const float infinity = std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < values.size(); i += 3)
    values[i] = std::array{std::numeric_limits<float>::quiet_NaN(), std::bit_cast<float>(0x7f800001), -infinity,
                           std::numeric_limits<float>::max(), std::bit_cast<float>(0xffc12345)}[i % 5];
  for (std::size_t set = 0; set < usable.count; ++set) {
    const fixed_sum::Kernels& kernels = *usable.sets[set];
    CAPTURE(kernels.name);
    double squares[fixed_sum::kLanes] = {};
    std::vector<std::int64_t> sum(values.size(), -7);
    const auto bound = std::bit_cast<std::int32_t>(64.0F);
    CHECK_FALSE(kernels.check_and_add(sum.data(), values.data(), values.size(), {bound, 67108864.0, 1'000'000'007}, squares));
    CHECK(std::count(sum.begin(), sum.end(), -7) < 100);
    CHECK_FALSE(kernels.check_and_add(sum.data(), values.data(), values.size(), {bound, 67108864.0, -1'000'000'007}, squares));
    CHECK(std::count(sum.begin(), sum.end(), -7) == static_cast<std::ptrdiff_t>(sum.size()));
  }
}

}  // namespace covey
