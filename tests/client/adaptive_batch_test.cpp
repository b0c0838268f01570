#include "client/adaptive_batch.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/random.h"

using namespace covey;

namespace {

constexpr std::size_t kWidth = 400;

// Gradients of single examples: one direction of length `signal`, and noise of variance 1 in each of
// kWidth elements, so that B_simple = kWidth / signal^2.
class NoisyGradient {
 public:
  explicit NoisyGradient(double signal) : signal_(signal) {}

  // Squared norms of the mean over `large` examples and over the first `small` of them.
  std::pair<GradientSize, GradientSize> measure(std::size_t small, std::size_t large) {
    std::vector<double> sum(kWidth, 0);
    GradientSize first;
    for (std::size_t example = 1; example <= large; ++example) {
      for (double& element : sum) element += random_.normal();
      sum[0] += signal_;
      if (example == small) first = {mean_square(sum, small), static_cast<double>(small)};
    }
    return {first, {mean_square(sum, large), static_cast<double>(large)}};
  }

 private:
  static double mean_square(const std::vector<double>& sum, std::size_t examples) {
    double square = 0;
    for (const double element : sum) square += element * element;
    return square / static_cast<double>(examples * examples);
  }
  double signal_;
  Random random_{3};
};

TrainSpec between(std::uint32_t least, std::uint32_t first, std::uint32_t most) {
  TrainSpec spec;
  spec.batch_min = least;
  spec.batch_size = first;
  spec.batch_max = most;
  return spec;
}

std::uint32_t settled(double signal, const TrainSpec& spec) {
  NoisyGradient gradient(signal);
  AdaptiveBatch batch(spec);
  for (int step = 0; step < 300; ++step) {
    const auto [small, large] = gradient.measure(batch.size() / 2, batch.size());
    batch.measured(small, large);
  }
  return batch.size();
}

}  // namespace

TEST_CASE("noise scale: what a gradient of known noise has") {
  for (const double expected : {4.0, 25.0, 100.0}) {
    NoisyGradient gradient(std::sqrt(kWidth / expected));
    NoiseScale scale;
    CHECK_FALSE(scale.value());
    for (int step = 0; step < 200; ++step) {
      const auto [small, large] = gradient.measure(4, 32);
      scale.add(small, large);
    }
    REQUIRE(scale.value());
    CHECK(*scale.value() > 0.7 * expected);
    CHECK(*scale.value() < 1.4 * expected);
  }
}

TEST_CASE("noise scale: exact where the norms are what they should be on average") {
  // |G|^2 = 3, tr(S) = 24: norms 3 + 24 / B.
  NoiseScale scale;
  for (int step = 0; step < 5; ++step) scale.add({3 + 24.0 / 2, 2}, {3 + 24.0 / 16, 16});
  CHECK(*scale.value() == doctest::Approx(8));
  scale.add({std::numeric_limits<double>::infinity(), 2}, {1, 16});
  CHECK(*scale.value() == doctest::Approx(8));
  NoiseScale silent, lost;
  silent.add({5, 2}, {5, 16});  // the same gradient in every example
  CHECK(*silent.value() == 0);
  lost.add({8, 2}, {1, 16});  // what noise alone makes
  CHECK(std::isinf(*lost.value()));
}

TEST_CASE("adaptive batch: settles around the noise scale, within its bounds") {
  const std::uint32_t middle = settled(std::sqrt(kWidth / 64.0), between(2, 8, 1024));
  CHECK(middle >= 32);
  CHECK(middle <= 128);
  CHECK(settled(std::sqrt(kWidth / 64.0), between(2, 8, 20)) == 20);
  CHECK(settled(std::sqrt(kWidth / 2.0), between(16, 64, 128)) == 16);
  CHECK(settled(0.001, between(2, 8, 50)) == 50);  // hardly any gradient
}

TEST_CASE("adaptive batch: moves at most once in eight steps") {
  AdaptiveBatch batch(between(2, 8, 1024));
  std::uint32_t before = batch.size();
  int since = 0;
  for (int step = 0; step < 100; ++step) {
    batch.measured({10, 4}, {1, 40});  // more noise than any batch evens out
    ++since;
    if (batch.size() == before) continue;
    CHECK(batch.size() == 2 * before);
    CHECK(since == 8);
    before = batch.size();
    since = 0;
  }
  CHECK(batch.size() == 1024);
}
