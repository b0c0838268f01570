#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "core/data/dataset.h"
#include "tests/core/data/data_files.h"

namespace covey {
namespace {

// Examples with the given labels and groups, and no content.
class Labelled final : public Dataset {
 public:
  Labelled(std::vector<std::uint32_t> labels, std::vector<std::uint32_t> groups, std::size_t group_count)
      : labels_(std::move(labels)), group_of_(std::move(groups)) {
    for (std::size_t g = 0; g < group_count; ++g) groups_.push_back("g" + std::to_string(g));
    group_of_.resize(labels_.size());
  }
  std::uint32_t size() const override { return static_cast<std::uint32_t>(labels_.size()); }
  Shape input_shape() const override { return {1}; }
  DType input_dtype() const override { return DType::kF32; }
  Shape target_shape() const override { return {}; }
  void fill(std::span<const std::uint32_t>, const Minibatch&) const override {}
  std::uint32_t label(std::uint32_t index) const override { return labels_[index]; }
  std::uint32_t group(std::uint32_t index) const override { return group_of_[index]; }
  const std::vector<std::string>& groups() const override { return groups_; }

 private:
  std::vector<std::uint32_t> labels_, group_of_;
  std::vector<std::string> groups_;
};

Labelled ten_classes(std::size_t size) {
  std::vector<std::uint32_t> labels(size);
  for (std::size_t i = 0; i < size; ++i) labels[i] = static_cast<std::uint32_t>(i * 7 % 10);
  return {labels, {}, 1};
}

PartitionSpec of_kind(PartitionKind kind) {
  PartitionSpec spec;
  spec.kind = kind;
  if (kind == PartitionKind::kColumn) spec.column = "c";
  return spec;
}

std::vector<Indices> parts_of(const Dataset& data, const PartitionSpec& spec, std::uint32_t clients,
                              std::uint64_t seed) {
  auto parts = partition(data, spec, clients, Random(seed));
  if (!parts) FAIL(parts.error().message);
  return std::move(*parts);
}

void check_complete(const std::vector<Indices>& parts, std::uint32_t size) {
  std::vector<int> seen(size);
  for (const Indices& part : parts) {
    CHECK(std::is_sorted(part.begin(), part.end()));
    for (const std::uint32_t i : part) ++seen.at(i);
  }
  CHECK(std::all_of(seen.begin(), seen.end(), [](int n) { return n == 1; }));
}

std::size_t classes_in(const Dataset& data, const Indices& part) {
  std::set<std::uint32_t> classes;
  for (const std::uint32_t i : part) classes.insert(data.label(i));
  return classes.size();
}

}  // namespace

TEST_CASE("partition: every example goes to exactly one client, the same one for the same seed") {
  const Labelled data = ten_classes(1003);
  for (const PartitionKind kind : {PartitionKind::kIid, PartitionKind::kDirichlet, PartitionKind::kShards,
                                   PartitionKind::kFile, PartitionKind::kColumn, PartitionKind::kRole})
    for (const std::uint32_t clients : {1u, 7u, 100u}) {
      CAPTURE(name_of(kind));
      const auto parts = parts_of(data, of_kind(kind), clients, 5);
      REQUIRE(parts.size() == clients);
      check_complete(parts, data.size());
      CHECK(parts_of(data, of_kind(kind), clients, 5) == parts);
    }
  for (const PartitionKind kind : {PartitionKind::kIid, PartitionKind::kDirichlet, PartitionKind::kShards})
    CHECK(parts_of(data, of_kind(kind), 7, 5) != parts_of(data, of_kind(kind), 7, 6));
}

TEST_CASE("partition: iid sizes differ by one at most, also with more clients than examples") {
  for (const std::uint32_t clients : {3u, 64u, 2000u}) {
    const auto parts = parts_of(ten_classes(1000), of_kind(PartitionKind::kIid), clients, 1);
    const auto [least, most] = std::minmax_element(
        parts.begin(), parts.end(), [](const Indices& a, const Indices& b) { return a.size() < b.size(); });
    CHECK(most->size() - least->size() <= 1);
    check_complete(parts, 1000);
  }
}

TEST_CASE("partition: Dirichlet is nearly even for a large alpha, nearly one client a class for a small") {
  const Labelled data = ten_classes(10'000);
  PartitionSpec spec = of_kind(PartitionKind::kDirichlet);
  spec.alpha = 1e5;
  for (const Indices& part : parts_of(data, spec, 10, 3)) {
    CHECK(part.size() > 950);
    CHECK(part.size() < 1050);
    CHECK(classes_in(data, part) == 10);
  }
  spec.alpha = 1e-3;
  std::size_t pairs = 0;
  const auto parts = parts_of(data, spec, 10, 3);
  for (const Indices& part : parts) pairs += classes_in(data, part);
  CHECK(pairs <= 13);
  check_complete(parts, data.size());
}

TEST_CASE("partition: Dirichlet's shares have the variance of a symmetric Dirichlet") {
  // A share of Dir(alpha) over n has mean 1/n and variance (1/n)(1 - 1/n) / (n alpha + 1).
  const Labelled data = ten_classes(20'000);
  PartitionSpec spec = of_kind(PartitionKind::kDirichlet);
  spec.alpha = 0.5;
  double sum = 0, squares = 0;
  int count = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed)
    for (const Indices& part : parts_of(data, spec, 10, seed)) {
      std::map<std::uint32_t, int> counts;
      for (const std::uint32_t i : part) ++counts[data.label(i)];
      for (std::uint32_t c = 0; c < 10; ++c) {
        const double share = counts[c] / 2000.0;
        sum += share;
        squares += share * share;
        ++count;
      }
    }
  const double mean = sum / count;
  CHECK(mean == doctest::Approx(0.1));
  CHECK(squares / count - mean * mean == doctest::Approx(0.1 * 0.9 / 6).epsilon(0.1));
}

TEST_CASE("partition: shards give a client few classes and equal sizes") {
  const Labelled data = ten_classes(6000);
  const auto parts = parts_of(data, of_kind(PartitionKind::kShards), 100, 2);
  for (const Indices& part : parts) {
    CHECK(part.size() == 60);
    CHECK(classes_in(data, part) <= 2);
  }
}

TEST_CASE("partition: groups are dealt whole, largest first to the client with least") {
  // Groups of 5, 1, 3, 2 and 0 examples.
  const std::vector<std::uint32_t> groups{0, 0, 0, 0, 0, 1, 2, 2, 2, 3, 3};
  const Labelled data(std::vector<std::uint32_t>(11), groups, 5);
  const auto parts = parts_of(data, of_kind(PartitionKind::kFile), 2, 1);
  CHECK(parts[0] == Indices{0, 1, 2, 3, 4, 5});  // 5, then 1
  CHECK(parts[1] == Indices{6, 7, 8, 9, 10});    // 3, then 2
  const auto many = parts_of(data, of_kind(PartitionKind::kRole), 9, 1);
  CHECK(many[0].size() == 5);
  CHECK(many[3].size() == 1);
  CHECK(many[8].empty());
}

TEST_CASE("partition: refuses what does not fit the data") {
  const auto refused = [](const Dataset& data, const PartitionSpec& spec, std::uint32_t clients) {
    auto parts = partition(data, spec, clients, Random(1));
    REQUIRE(!parts);
    CHECK(parts.error().code == ErrorCode::kInvalidArgument);
    return parts.error().message;
  };
  const Labelled text(std::vector<std::uint32_t>(20), {}, 1);  // text has no classes
  CHECK(mentions(refused(text, of_kind(PartitionKind::kDirichlet), 4), "class"));
  CHECK(mentions(refused(text, of_kind(PartitionKind::kShards), 4), "class"));
  CHECK(mentions(refused(ten_classes(20), of_kind(PartitionKind::kShards), 11), "22 shards"));
  CHECK(mentions(refused(ten_classes(20), of_kind(PartitionKind::kIid), 0), "0 clients"));
  CHECK(mentions(refused(ten_classes(20), of_kind(PartitionKind::kIid), 4'000'000'000), "4000000000"));
  PartitionSpec spec = of_kind(PartitionKind::kDirichlet);
  spec.alpha = std::nan("");
  CHECK(mentions(refused(ten_classes(20), spec, 4), "alpha"));
}

TEST_CASE("holdout: a seeded share, at least one each of two or more, and none when none is wanted") {
  Indices indices(100);
  std::iota(indices.begin(), indices.end(), 50u);
  const Split split = split_holdout(indices, 0.1, Random(4));
  CHECK(split.holdout.size() == 10);
  Indices joined;
  std::merge(split.train.begin(), split.train.end(), split.holdout.begin(), split.holdout.end(),
             std::back_inserter(joined));
  CHECK(joined == indices);
  CHECK(split_holdout(indices, 0.1, Random(4)).holdout == split.holdout);
  CHECK(split_holdout(indices, 0.1, Random(5)).holdout != split.holdout);

  const Indices two{3, 9};
  for (const double share : {0.01, 0.9}) {
    CHECK(split_holdout(two, share, Random(1)).train.size() == 1);
    CHECK(split_holdout(two, share, Random(1)).holdout.size() == 1);
  }
  CHECK(split_holdout({7}, 0.9, Random(1)).train == Indices{7});
  CHECK(split_holdout({7}, 0.9, Random(1)).holdout.empty());
  CHECK(split_holdout({}, 0.5, Random(1)).train.empty());
  CHECK(split_holdout(indices, 0, Random(1)).train == indices);
}

}  // namespace covey
