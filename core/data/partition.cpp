#include <algorithm>
#include <cmath>
#include <numeric>
#include <queue>

#include "core/base/check.h"
#include "core/data/dataset.h"

namespace covey {
namespace {

constexpr std::uint32_t kClientsMax = 10'000'000;

Indices shuffled(std::uint32_t size, Random& random) {
  Indices all(size);
  std::iota(all.begin(), all.end(), 0u);
  random.shuffle(std::span(all));
  return all;
}

// Piece `i` of `n` items cut into `pieces`, sizes differing by one at most.
std::size_t cut(std::size_t n, std::uint64_t pieces, std::uint64_t i) {
  const std::uint64_t each = n / pieces;
  return static_cast<std::size_t>(each * i + std::min(i, n % pieces));
}

std::vector<Indices> deal_iid(const Dataset& data, std::uint32_t clients, Random& random) {
  const Indices all = shuffled(data.size(), random);
  std::vector<Indices> parts(clients);
  for (std::uint32_t c = 0; c < clients; ++c)
    parts[c].assign(all.begin() + static_cast<std::ptrdiff_t>(cut(all.size(), clients, c)),
                    all.begin() + static_cast<std::ptrdiff_t>(cut(all.size(), clients, c + 1)));
  return parts;
}

// Examples of each class, in random order within a class.
std::vector<Indices> by_class(const Dataset& data, Random& random) {
  std::vector<Indices> classes;
  for (const std::uint32_t index : shuffled(data.size(), random)) {
    const std::uint32_t label = data.label(index);
    if (label >= classes.size()) classes.resize(label + std::size_t{1});
    classes[label].push_back(index);
  }
  return classes;
}

Result<void> check_classes(const std::vector<Indices>& classes, PartitionKind kind) {
  const auto used =
      std::count_if(classes.begin(), classes.end(), [](const Indices& members) { return !members.empty(); });
  if (used >= 2) return {};
  return unexpected(ErrorCode::kInvalidArgument, std::string("partition \"") + name_of(kind) +
                                                     "\" divides by class, and these data have " +
                                                     std::to_string(used) +
                                                     ": use \"iid\", \"file\", \"column\" or \"role\"");
}

Result<std::vector<Indices>> deal_dirichlet(const Dataset& data, const PartitionSpec& spec,
                                            std::uint32_t clients, Random& random) {
  const std::vector<Indices> classes = by_class(data, random);
  COVEY_TRY_VOID(check_classes(classes, spec.kind));
  std::vector<Indices> parts(clients);
  for (const Indices& members : classes) {
    if (members.empty()) continue;
    const std::vector<double> shares = random.dirichlet(spec.alpha, clients);
    const auto total = static_cast<double>(members.size());
    double sum = 0;
    std::size_t begin = 0;
    for (std::uint32_t c = 0; c < clients; ++c) {
      sum += shares[c];
      std::size_t end = members.size();  // the last client takes what rounding leaves
      if (c + 1 < clients && sum * total < total)
        end = std::max(begin, static_cast<std::size_t>(std::max(0.0, sum * total)));
      parts[c].insert(parts[c].end(), members.begin() + static_cast<std::ptrdiff_t>(begin),
                      members.begin() + static_cast<std::ptrdiff_t>(end));
      begin = end;
    }
  }
  return parts;
}

Result<std::vector<Indices>> deal_shards(const Dataset& data, const PartitionSpec& spec,
                                         std::uint32_t clients, Random& random) {
  const std::uint64_t count = std::uint64_t{clients} * spec.shards_per_client;
  if (count == 0 || count > data.size())
    return unexpected(ErrorCode::kInvalidArgument,
                      "simulation.shards_per_client = " + std::to_string(spec.shards_per_client) + " for " +
                          std::to_string(clients) + " clients makes " + std::to_string(count) +
                          " shards, but there are " + std::to_string(data.size()) +
                          " examples: lower either number");
  const std::vector<Indices> classes = by_class(data, random);
  COVEY_TRY_VOID(check_classes(classes, spec.kind));
  Indices sorted;
  sorted.reserve(data.size());
  for (const Indices& members : classes) sorted.insert(sorted.end(), members.begin(), members.end());

  const Indices order = shuffled(static_cast<std::uint32_t>(count), random);
  std::vector<Indices> parts(clients);
  for (std::uint32_t i = 0; i < order.size(); ++i) {
    Indices& part = parts[i / spec.shards_per_client];
    part.insert(
        part.end(), sorted.begin() + static_cast<std::ptrdiff_t>(cut(sorted.size(), count, order[i])),
        sorted.begin() + static_cast<std::ptrdiff_t>(cut(sorted.size(), count, order[i] + std::uint64_t{1})));
  }
  return parts;
}

std::vector<Indices> deal_groups(const Dataset& data, std::uint32_t clients) {
  std::vector<Indices> groups(data.groups().size());
  for (std::uint32_t i = 0; i < data.size(); ++i) groups[data.group(i)].push_back(i);
  Indices order(groups.size());
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return groups[a].size() > groups[b].size(); });
  // Least-loaded client first, then the lower number.
  using Load = std::pair<std::uint64_t, std::uint32_t>;
  std::priority_queue<Load, std::vector<Load>, std::greater<>> loads;
  for (std::uint32_t c = 0; c < clients; ++c) loads.push({0, c});
  std::vector<Indices> parts(clients);
  for (const std::uint32_t g : order) {
    const auto [load, client] = loads.top();
    loads.pop();
    parts[client].insert(parts[client].end(), groups[g].begin(), groups[g].end());
    loads.push({load + groups[g].size(), client});
  }
  return parts;
}

Result<std::vector<Indices>> deal(const Dataset& data, const PartitionSpec& spec, std::uint32_t clients,
                                  Random& random) {
  switch (spec.kind) {
    case PartitionKind::kIid:
      return deal_iid(data, clients, random);
    case PartitionKind::kDirichlet:
      return deal_dirichlet(data, spec, clients, random);
    case PartitionKind::kShards:
      return deal_shards(data, spec, clients, random);
    case PartitionKind::kFile:
    case PartitionKind::kColumn:
    case PartitionKind::kRole:
      return deal_groups(data, clients);
  }
  return unexpected(ErrorCode::kInvalidArgument, "simulation.partition is not a known one");
}

}  // namespace

Result<std::vector<Indices>> partition(const Dataset& data, const PartitionSpec& spec, std::uint32_t clients,
                                       Random random) {
  COVEY_TRY_VOID(spec.validate());
  if (clients == 0 || clients > kClientsMax)
    return unexpected(ErrorCode::kInvalidArgument, "cannot divide data among " + std::to_string(clients) +
                                                       " clients: use 1 to " + std::to_string(kClientsMax));
  COVEY_TRY(std::vector<Indices> parts, deal(data, spec, clients, random));
  for (Indices& part : parts) std::sort(part.begin(), part.end());
  return parts;
}

Split split_holdout(const Indices& indices, double holdout, Random random) {
  COVEY_CHECK(holdout >= 0 && holdout < 1);
  Split split{indices, {}};
  if (holdout > 0 && indices.size() >= 2) {
    random.shuffle(std::span(split.train));
    const double share = std::round(holdout * static_cast<double>(indices.size()));
    const std::size_t count = std::clamp(static_cast<std::size_t>(share), std::size_t{1}, indices.size() - 1);
    split.holdout.assign(split.train.end() - static_cast<std::ptrdiff_t>(count), split.train.end());
    split.train.resize(indices.size() - count);
  }
  std::sort(split.train.begin(), split.train.end());
  std::sort(split.holdout.begin(), split.holdout.end());
  return split;
}

}  // namespace covey
