#include "aggregation/robust_mean.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/random.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"

namespace covey {
namespace {

ServerSpec rule(CombineKind kind) {
  ServerSpec spec;
  spec.combine = kind;
  return spec;
}

struct Round {
  Round(std::size_t clients, std::size_t parameters, std::uint64_t seed = 1) {
    Random random(seed);
    for (std::size_t i = 0; i < clients; ++i) {
      std::vector<float> values(parameters);
      for (float& value : values) value = static_cast<float>(random.normal());
      add(std::move(values));
    }
  }
  void add(std::vector<float> values) {
    contributions.push_back({blobs.put(bytes_of_floats(values)).value(), 1 + 1000 * updates.size()});
    updates.push_back(std::move(values));
  }
  void change(std::size_t client, std::vector<float> values) {
    contributions[client].update = blobs.put(bytes_of_floats(values)).value();
    updates[client] = std::move(values);
  }
  std::size_t parameters() const { return updates.front().size(); }
  Result<RobustMean> create(const ServerSpec& spec) { return RobustMean::create(spec, contributions, parameters(), blobs); }
  std::vector<double> combined(const ServerSpec& spec) {
    auto robust = create(spec);
    REQUIRE_MESSAGE(robust.has_value(), (robust ? std::string() : robust.error().message));
    std::vector<double> mean(parameters());
    REQUIRE(robust->range(0, mean).has_value());
    return mean;
  }
  // The plain way: sort one parameter's values, average the ranks [low, high).
  std::vector<double> by_hand(std::size_t low, std::size_t high) const {
    std::vector<double> mean;
    for (std::size_t i = 0; i < parameters(); ++i) {
      std::vector<float> values;
      for (const auto& update : updates) values.push_back(update[i]);
      std::sort(values.begin(), values.end());
      double sum = 0;
      for (std::size_t rank = low; rank < high; ++rank) sum += static_cast<double>(values[rank]);
      mean.push_back(sum / static_cast<double>(high - low));
    }
    return mean;
  }
  double sum_of_distances(const std::vector<double>& point) const {
    double sum = 0;
    for (const auto& update : updates) {
      double square = 0;
      for (std::size_t i = 0; i < point.size(); ++i) square += std::pow(static_cast<double>(update[i]) - point[i], 2);
      sum += std::sqrt(square);
    }
    return sum;
  }

  MemoryBlobs blobs;
  std::vector<std::vector<float>> updates;
  std::vector<Contribution> contributions;
};

double apart(const std::vector<double>& a, const std::vector<double>& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

}  // namespace

TEST_CASE("sorting network: sorts every pattern of zeros and ones, and so everything") {
  for (std::uint32_t n = 1; n <= 12; ++n) {
    const auto network = sorting_network(n);
    for (std::uint32_t pattern = 0; pattern < (1U << n); ++pattern) {
      std::uint32_t bits = pattern;
      for (const auto& [i, j] : network) {
        REQUIRE(i < j);
        REQUIRE(j < n);
        if (((bits >> i) & 1U) > ((bits >> j) & 1U)) bits ^= (1U << i) | (1U << j);
      }
      std::uint32_t ones = 0;
      for (std::uint32_t i = 0; i < n; ++i) ones += (pattern >> i) & 1U;
      REQUIRE(bits == (((1U << ones) - 1U) << (n - ones)));
    }
  }
}

TEST_CASE("robust mean: the median of every parameter, odd and even, against sorting by hand") {
  for (const std::size_t clients : {1U, 2U, 3U, 4U, 5U, 16U, 33U, 100U}) {
    Round round(clients, 700, clients);
    CHECK(round.combined(rule(CombineKind::kMedian)) == round.by_hand((clients - 1) / 2, clients - (clients - 1) / 2));
  }
}

TEST_CASE("robust mean: the trimmed mean against sorting by hand") {
  for (const double trim : {0.01, 0.1, 0.2, 0.34, 0.49})
    for (const std::size_t clients : {3U, 4U, 5U, 10U, 65U}) {
      Round round(clients, 300, clients);
      ServerSpec spec = rule(CombineKind::kTrimmedMean);
      spec.trim = trim;
      const auto gone = std::min((clients - 1) / 2, static_cast<std::size_t>(trim * static_cast<double>(clients)));
      CHECK(apart(round.combined(spec), round.by_hand(gone, clients - gone)) < 1e-15);
    }
}

TEST_CASE("robust mean: the norm filter leaves out what is far longer than the median update") {
  Round round(9, 50);
  std::vector<float> huge = round.updates[3];
  for (float& value : huge) value *= 100;
  round.change(3, huge);
  const auto robust = round.create(rule(CombineKind::kNormFilter));
  REQUIRE(robust.has_value());
  for (std::size_t i = 0; i < 9; ++i) CHECK(robust->weights()[i] == (i == 3 ? 0.0 : 0.125));
  std::vector<double> others(50);
  for (std::size_t i = 0; i < 9; ++i)
    for (std::size_t k = 0; i != 3 && k < 50; ++k) others[k] += static_cast<double>(round.updates[i][k]) / 8;
  CHECK(apart(round.combined(rule(CombineKind::kNormFilter)), others) < 1e-12);
  Round silent(3, 5);
  for (std::size_t i = 0; i < 3; ++i) silent.change(i, std::vector<float>(5));
  CHECK(silent.combined(rule(CombineKind::kNormFilter)) == std::vector<double>(5));
  CHECK(silent.combined(rule(CombineKind::kGeometricMedian)) == std::vector<double>(5));
}

TEST_CASE("robust mean: no step away from the geometric median shortens the way to all updates") {
  Round round(11, 20);
  const std::vector<double> median = round.combined(rule(CombineKind::kGeometricMedian));
  const double sum = round.sum_of_distances(median);
  Random random(5);
  for (int trial = 0; trial < 500; ++trial) {
    std::vector<double> moved = median;
    const double length = trial % 2 == 0 ? 0.1 : 0.01;
    for (double& value : moved) value += length * random.normal();
    CHECK(round.sum_of_distances(moved) > sum);
  }
  // Of three collinear points it is the middle one.
  Round line(0, 0);
  line.add({0, 0});
  line.add({1, 2});
  line.add({10, 20});
  CHECK(apart(line.combined(rule(CombineKind::kGeometricMedian)), {1, 2}) < 1e-3);
}

TEST_CASE("robust mean: a fifth of hostile updates moves no rule far, but moves the mean anywhere") {
  for (const auto kind : {CombineKind::kMedian, CombineKind::kTrimmedMean, CombineKind::kNormFilter, CombineKind::kGeometricMedian}) {
    Round round(20, 100);
    for (std::size_t i = 0; i < 20; ++i) {
      std::vector<float> values(100, 1.0F);
      for (float& value : values) value += 0.1F * round.updates[i][0];
      round.change(i, values);
    }
    const std::vector<double> clean = round.combined(rule(kind));
    for (std::size_t i = 0; i < 4; ++i) round.change(i, std::vector<float>(100, -1e6F));
    INFO(std::string(name_of(kind)));
    CHECK(apart(round.combined(rule(kind)), clean) < 0.5);  // five times the honest ones' spread
    CHECK(apart(round.by_hand(0, 20), clean) > 1e5);
  }
}

TEST_CASE("robust mean: the same bits whatever the ranges, and whatever clients claim to hold") {
  for (const auto kind : {CombineKind::kMedian, CombineKind::kTrimmedMean, CombineKind::kNormFilter, CombineKind::kGeometricMedian}) {
    Round round(2000, 5000);  // more than one block
    const auto robust = round.create(rule(kind));
    REQUIRE(robust.has_value());
    std::vector<double> whole(5000), parts(5000);
    REQUIRE(robust->range(0, whole));
    for (std::size_t at = 0; at < parts.size(); at += 777)
      REQUIRE(robust->range(at, std::span(parts).subspan(at, std::min<std::size_t>(777, parts.size() - at))));
    CHECK(whole == parts);
    for (Contribution& part : round.contributions) part.weight = 1;
    CHECK(round.combined(rule(kind)) == whole);
  }
}

TEST_CASE("robust mean: what is not finite, of another size or not there is refused by name") {
  for (const auto kind : {CombineKind::kMedian, CombineKind::kTrimmedMean, CombineKind::kNormFilter, CombineKind::kGeometricMedian}) {
    Round round(5, 10);
    std::vector<float> bad = round.updates[2];
    bad[7] = std::numeric_limits<float>::quiet_NaN();
    round.change(2, bad);
    const auto judge = [&]() -> Result<void> {
      COVEY_TRY(const RobustMean robust, round.create(rule(kind)));
      std::vector<double> mean(10);
      return robust.range(0, mean);
    };
    CHECK(judge().error().code == ErrorCode::kInvalidUpdate);
    CHECK(judge().error().message.find("element 7") != std::string::npos);
    round.change(2, std::vector<float>(11));
    CHECK(judge().error().code == ErrorCode::kInvalidUpdate);
    round.contributions[2].update = {Digest{{9}}, 40};
    CHECK(judge().error().code == ErrorCode::kNotFound);
    round.contributions.clear();
    CHECK(RobustMean::create(rule(kind), round.contributions, 10, round.blobs).error().code == ErrorCode::kInvalidArgument);
  }
}

TEST_CASE("robust mean: with little memory it works on smaller pieces, to the same bits") {
  Round round(64, 70'000);
  CHECK(robust_bytes_wanted(64) > (16 << 20));
  CHECK(robust_bytes_min(64) == 4096 * 66);
  CHECK(robust_bytes_min(10'000) == robust_bytes_wanted(10'000));
  for (const auto kind : {CombineKind::kMedian, CombineKind::kTrimmedMean, CombineKind::kNormFilter, CombineKind::kGeometricMedian}) {
    std::vector<std::vector<double>> means;
    for (const std::uint64_t bytes : {~std::uint64_t{0}, std::uint64_t{1} << 20, std::uint64_t{0}}) {
      const auto robust = RobustMean::create(rule(kind), round.contributions, round.parameters(), round.blobs, bytes);
      REQUIRE(robust.has_value());
      std::vector<double> mean(round.parameters());
      REQUIRE(robust->range(0, mean).has_value());
      means.push_back(std::move(mean));
    }
    CHECK(means[0] == means[1]);
    CHECK(means[0] == means[2]);
  }
}

}  // namespace covey
