// Rotation, rounding within a norm, and the ring that holds the sum.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/random.h"
#include "privacy/noise_share.h"
#include "privacy/norm_rounding.h"
#include "privacy/ring.h"
#include "privacy/rotation.h"
#include "tests/privacy/statistics.h"
#include "tests/privacy/test_bytes.h"

namespace covey {
namespace {

Digest seed_of(std::uint8_t n) {
  Digest seed;
  seed.bytes[0] = n;
  return seed;
}

double norm_of(std::span<const float> x) {
  double sum = 0;
  for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum);
}

// A random direction of norm `length`; `padded` elements of which `values` are not zero.
std::vector<float> direction(Random& random, std::uint64_t values, std::uint64_t padded, double length) {
  std::vector<float> x(padded, 0.0F);
  for (std::uint64_t i = 0; i < values; ++i) x[i] = static_cast<float>(random.normal());
  const double scale = length / norm_of(x);
  for (float& v : x) v = static_cast<float>(v * scale);
  return x;
}

}  // namespace

TEST_CASE("rotation: keeps norms, is undone exactly enough, and follows its seed") {
  Random random(1);
  for (const std::uint64_t values : {1u, 2u, 3u, 1000u, 4096u, 5000u, 70000u}) {
    CAPTURE(values);
    const Rotation rotation = *Rotation::of(seed_of(1), values);
    CHECK(rotation.padded() >= values);
    CHECK(rotation.padded() < 2 * values + 1);
    const std::vector<float> x = direction(random, values, rotation.padded(), 3);
    std::vector<float> y = x, other = x;
    rotation.forward(y);
    CHECK(norm_of(y) == doctest::Approx(3).epsilon(1e-5));
    Rotation::of(seed_of(2), values)->forward(other);
    if (values >= 1000) CHECK(y != other);
    rotation.inverse(y);
    for (std::size_t i = 0; i < x.size(); ++i) REQUIRE(y[i] == doctest::Approx(x[i]).epsilon(1e-4).scale(0.1));
  }
  CHECK_FALSE(Rotation::of(seed_of(1), 0).has_value());
  CHECK_FALSE(Rotation::of(seed_of(1), kRotatedValuesMax + 1).has_value());
}

TEST_CASE("rotation: is the matrix that its definition says") {
  const Rotation rotation = *Rotation::of(seed_of(3), 8);
  std::vector<std::vector<float>> columns;
  for (std::size_t i = 0; i < 8; ++i) {
    std::vector<float> x(8, 0.0F);
    x[i] = 1;
    rotation.forward(x);
    columns.push_back(x);
  }
  int minus = 0;
  for (std::size_t i = 0; i < 8; ++i) {
    const float sign = columns[i][0] > 0 ? 1.0F : -1.0F;  // the first row of H is all ones
    minus += sign < 0 ? 1 : 0;
    for (std::size_t j = 0; j < 8; ++j) {
      const float h = std::popcount(i & j) % 2 == 0 ? 1.0F : -1.0F;
      CHECK(columns[i][j] == doctest::Approx(sign * h / std::sqrt(8.0F)));
    }
  }
  CHECK(minus > 0);
  CHECK(minus < 8);
}

TEST_CASE("rotation: one large element is spread over all") {
  const Rotation rotation = *Rotation::of(seed_of(4), 4096);
  std::vector<float> x(4096, 0.0F);
  x[17] = 5;
  rotation.forward(x);
  for (const float v : x) REQUIRE(std::fabs(v) == doctest::Approx(5.0 / 64));
}

TEST_CASE("rounding: the norm bound is the least of its two") {
  const auto bound = [](double c, std::uint64_t d) { return *norm_bound({.clip = 1, .weight_max = 1, .grid = 1 / c, .dimension = d}); };
  CHECK(bound(1024, 1 << 20).squared == 1312256);  // 1024^2 + 2^18 + 1024 + 512
  CHECK(bound(1024, 1 << 20).l1 == doctest::Approx(std::sqrt(1312256.0) * 1024));
  CHECK(bound(std::sqrt(16777216.0) / 0.4, 16777216).l2 <= 1.021 * std::sqrt(16777216.0) / 0.4);
  CHECK(bound(0.5, 1).squared == 1);  // the second bound: 0.25 + 0.25 + 0.5 + 0.5 = 1.5; the first is 2.25
  CHECK(bound(0.5, 1).l1 == 1);
  const auto weighted = norm_bound({.clip = 0.25, .weight_max = 4, .grid = 1.0 / 1024, .dimension = 1 << 20});
  CHECK(weighted->squared == 1312256);
  CHECK_FALSE(norm_bound({.clip = 1, .grid = 0, .dimension = 4}).has_value());
  CHECK_FALSE(norm_bound({.clip = std::nan(""), .grid = 1, .dimension = 4}).has_value());
  CHECK_FALSE(norm_bound({.clip = 1, .grid = 1, .bias = 1, .dimension = 4}).has_value());
  CHECK_FALSE(norm_bound({.clip = 1, .grid = 1e-10, .dimension = 4}).error().message.find("coarser") == std::string::npos);
}

TEST_CASE("rounding: norm after rounding <= D2, 1e6 vectors") {
  SeededBytes bytes(5);
  NoiseBits bits(bytes);
  Random random(6);
  std::uint64_t violations = 0, zeros = 0, at_the_bound = 0, vectors = 0;
  // Few steps to the clip and many coordinates that are halves: where rounding moves the norm most.
  for (const auto& [c, d] : {std::pair{0.9, 8u}, {3.0, 16u}, {1.5, 64u}, {40.0, 16u}}) {
    const NormBound bound = *norm_bound({.clip = c, .grid = 1, .dimension = d});
    std::vector<std::int64_t> out(d);
    for (int i = 0; i < 250'000; ++i, ++vectors) {
      std::vector<float> x = direction(random, d, d, c);
      if (i % 2 == 0) std::fill(x.begin(), x.end(), static_cast<float>(c / std::sqrt(static_cast<double>(d))));
      if (round_within(x, 1, bound, bits, out) == Rounded::kZeroVector) ++zeros;
      const auto squared = static_cast<std::uint64_t>(std::inner_product(out.begin(), out.end(), out.begin(), std::int64_t{0}));
      if (squared > bound.squared) ++violations;
      if (squared == bound.squared) ++at_the_bound;
    }
  }
  CHECK(vectors == 1'000'000);
  CHECK(violations == 0);
  CHECK(at_the_bound > 1000);  // it is a bound that roundings reach
  CHECK(zeros == 0);
}

TEST_CASE("rounding: without the retry the bound would be broken") {
  SeededBytes bytes(7);
  NoiseBits bits(bytes);
  const NormBound bound = *norm_bound({.clip = 3, .grid = 1, .dimension = 16});
  const NormBound loose{1'000'000, 1000, 4000};
  const std::vector<float> x(16, 0.75F);
  std::vector<std::int64_t> out(16);
  int broken = 0;
  for (int i = 0; i < 10'000; ++i) {
    CHECK(round_within(x, 1, loose, bits, out) == Rounded::kExactly);
    if (static_cast<std::uint64_t>(std::inner_product(out.begin(), out.end(), out.begin(), std::int64_t{0})) > 14) ++broken;
  }
  CHECK(bound.squared == 18);
  CHECK(broken > 300);  // one in seventeen needs the retry
  const NormBound tight{14, std::sqrt(14.0), 14};
  for (int i = 0; i < 10'000; ++i) {
    CHECK(round_within(x, 1, tight, bits, out) == Rounded::kExactly);
    CHECK(std::inner_product(out.begin(), out.end(), out.begin(), std::int64_t{0}) <= 14);
  }
}

TEST_CASE("rounding: has no bias where the bound is far") {
  SeededBytes bytes(8);
  NoiseBits bits(bytes);
  const NormBound bound{1'000'000'000, 31622, 1'000'000};
  const std::vector<float> x{-1.75F, -0.5F, -0.125F, 0.0F, 0.25F, 0.9F, 7.0F, 100.3F};
  std::vector<std::int64_t> out(8);
  std::vector<double> mean(8);
  constexpr int kRounds = 200'000;
  for (int i = 0; i < kRounds; ++i) {
    CHECK(round_within(x, 0.5, bound, bits, out) == Rounded::kExactly);
    for (std::size_t k = 0; k < 8; ++k) mean[k] += static_cast<double>(out[k]) / kRounds;
  }
  for (std::size_t k = 0; k < 8; ++k) CHECK(std::fabs(mean[k] - 2 * static_cast<double>(x[k])) < 4 * 0.5 / std::sqrt(kRounds));
  CHECK(mean[3] == 0);
  CHECK(mean[6] == doctest::Approx(14).epsilon(1e-9));
}

TEST_CASE("rounding: what cannot be within the bound becomes zero, never an error") {
  SeededBytes bytes(9);
  NoiseBits bits(bytes);
  const NormBound bound = *norm_bound({.clip = 1, .grid = 0.1, .dimension = 4});
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(), 1e30F, 50.0F}) {
    std::vector<std::int64_t> out(4, 9);
    CHECK(round_within(std::vector<float>{0.1F, bad, 0.0F, 0.0F}, 0.1, bound, bits, out) == Rounded::kZeroVector);
    CHECK(out == std::vector<std::int64_t>(4, 0));
  }
}

TEST_CASE("ring: kappa sigma wrap, the probability matches the formula") {
  constexpr std::uint64_t kDimension = 1 << 16;
  constexpr std::uint32_t kMembers = 8;
  constexpr unsigned kWidth = 11;
  constexpr int kReleases = 8;
  const WrapTerms terms{.clip = 1, .grid = 1.0 / 9920, .local_noise = 50.0 / 9920, .members = kMembers, .dimension = kDimension};
  const double chance = wrap_chance(terms, kWidth);
  CHECK(wrap_margin(terms, kWidth) == doctest::Approx(3).epsilon(0.01));
  CHECK(chance == doctest::Approx(0.00266).epsilon(0.01));

  SeededBytes bytes(10);
  NoiseBits bits(bytes);
  Random random(11);
  const Ring ring = *Ring::of_width(kWidth);
  const DiscreteGaussian noise(*noise_variance(2500));
  const NormBound bound = *norm_bound({.clip = 1.001, .grid = terms.grid, .dimension = kDimension});
  const auto wraps_of = [&](const std::vector<float>& update, std::uint8_t release) {
    std::vector<float> x = update;
    Rotation::of(seed_of(release), kDimension)->forward(x);
    std::vector<std::int64_t> sum(kDimension), one(kDimension);
    std::vector<std::uint64_t> words(ring.words(kDimension));
    for (std::uint32_t member = 0; member < kMembers; ++member) {  // all the same: the sum is largest
      REQUIRE(round_within(x, terms.grid, bound, bits, one) == Rounded::kExactly);
      noise.add_to(one, bits);
      for (std::size_t i = 0; i < one.size(); ++i) sum[i] += one[i];
      combine(words, pack(one, ring), Sign::kPlus, ring);
    }
    const std::vector<std::int64_t> opened = unpack(words, kDimension, ring);
    int wraps = 0;
    for (std::size_t i = 0; i < sum.size(); ++i) wraps += opened[i] != sum[i] ? 1 : 0;
    return wraps;
  };
  int wraps = 0;
  for (int release = 0; release < kReleases; ++release)
    wraps += wraps_of(direction(random, kDimension, kDimension, 1), static_cast<std::uint8_t>(release));
  const double coordinates = static_cast<double>(kDimension) * kReleases;
  const double error = std::sqrt(coordinates * chance * (1 - chance));
  CAPTURE(wraps);
  CHECK(std::fabs(wraps - coordinates * chance) < 3.9 * error);  // p = 1e-4, two-sided
  // One element that holds it all is spread flat: nothing wraps.
  std::vector<float> spike(kDimension, 0.0F);
  spike[5] = 1;
  CHECK(wraps_of(spike, 77) == 0);
}

TEST_CASE("ring: a noised sum opens to the sum of the updates, with the error that the noise and the rounding make") {
  constexpr std::uint64_t kValues = 3000;
  constexpr std::uint32_t kMembers = 12;
  const double grid = 0.4 / std::sqrt(4096.0);  // of clip 1: the review's rule
  const Rotation rotation = *Rotation::of(seed_of(21), kValues);
  const std::uint64_t d = rotation.padded();
  const NoiseShare share = *noise_share({60, 10, 3});
  const unsigned width = *ring_width_for({.clip = 1, .grid = grid, .local_noise = grid * share.deviation(), .members = kMembers, .dimension = d}, 6);
  const Ring ring = *Ring::of_width(width);
  const NormBound bound = *norm_bound({.clip = 1, .grid = grid, .dimension = d});
  Random random(22);
  std::vector<double> plain(kValues);
  std::vector<std::uint64_t> words(ring.words(d));
  for (std::uint32_t member = 0; member < kMembers; ++member) {
    SeededBytes bytes(100 + member);
    NoiseBits bits(bytes);
    std::vector<float> x = direction(random, kValues, d, 0.999);
    for (std::size_t i = 0; i < kValues; ++i) plain[i] += static_cast<double>(x[i]);
    rotation.forward(x);
    std::vector<std::int64_t> whole(d);
    REQUIRE(round_within(x, grid, bound, bits, whole) == Rounded::kExactly);
    RingNoise::of(NoiseMechanism::kDiscreteGaussian, share.variance)->add_to(whole, bits);
    combine(words, pack(whole, ring), Sign::kPlus, ring);
  }
  const std::vector<std::int64_t> opened = unpack(words, d, ring);
  std::vector<float> sum(d);
  for (std::size_t i = 0; i < d; ++i) sum[i] = static_cast<float>(static_cast<double>(opened[i]) * grid);
  rotation.inverse(sum);
  double squares = 0;
  for (std::size_t i = 0; i < kValues; ++i) squares += std::pow(static_cast<double>(sum[i]) - plain[i], 2);
  const double expected = grid * std::sqrt(kMembers * (value_of(share.variance) + 1.0 / 6));
  CHECK(std::sqrt(squares / kValues) == doctest::Approx(expected).epsilon(0.05));  // 3.9 deviations
}

TEST_CASE("ring: the width for a margin is the least, and thin margins are refused") {
  const WrapTerms terms{.clip = 1, .grid = 0.4 / 4096, .local_noise = 5.0 / 30, .members = 1000, .dimension = 1 << 24};
  const unsigned width = *ring_width_for(terms, kWrapMarginMin);
  CHECK(wrap_margin(terms, width) >= kWrapMarginMin);
  CHECK(wrap_margin(terms, width - 1) < kWrapMarginMin);
  CHECK(wrap_chance(terms, width) < 2.1e-9);
  CHECK(std::erfc(4 / std::sqrt(2.0)) == doctest::Approx(6.3e-5).epsilon(0.01));
  CHECK(ring_width_for(terms, 4).error().message.find("must be at least 6") != std::string::npos);
  CHECK_FALSE(ring_width_for({.clip = 1e30, .grid = 1e-30, .members = 3, .dimension = 1}, 6).has_value());
  CHECK_FALSE(ring_width_for({.clip = 1, .grid = 0, .members = 3, .dimension = 1}, 6).has_value());
}

}  // namespace covey
