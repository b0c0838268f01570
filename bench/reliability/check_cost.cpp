#include <algorithm>
#include <chrono>
#include <cmath>

#include "aggregation/aggregator.h"
#include "aggregation/fixed_sum.h"
#include "aggregation/robust_mean.h"
#include "bench/reliability/rows.h"
#include "bench/reliability/tiny_worlds.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"

namespace covey::bench {
namespace {

constexpr std::uint64_t kWorlds = 300;
constexpr std::size_t kUpdates = 16;
constexpr int kTimes = 5;

template <class Act>
double best_seconds(Act act) {
  double best = 1e9;
  for (int i = 0; i < kTimes; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    act();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return best;
}

// A world fails when an update of a liar is acknowledged or summed.
std::vector<Figure> reached() {
  TinyWorlds worlds;
  std::uint64_t reached = 0, run = 0;
  for (const Lie lie : {Lie::kNotFinite, Lie::kHugeNorm, Lie::kWrongSize, Lie::kHugeExamples})
    for (std::uint64_t seed = 1; seed <= kWorlds; ++seed, ++run) {
      Scenario scenario = scenario_of_seed(worlds.request, seed, worlds.clients());
      scenario.faults.liars = {{2, lie}, {7, lie}};
      std::erase_if(scenario.faults.acts, [](const OperatorAct& act) { return act.act != Act::kSubmit; });
      reached += replay(worlds.request, *worlds.populations, scenario) ? 0 : 1;
    }
  return {exactly("row 23: worlds where NaN, Inf or a huge norm counts", static_cast<double>(reached), "worlds", 0,
                  "of " + std::to_string(run) + " with two such liars among ten clients and the seed's other faults")};
}

struct Updates {
  MemoryBlobs blobs;
  Aggregate work;
  std::uint64_t parameters = 0;

  Updates() {
    work.job.privacy.secure_aggregation = false;
    work.job.model.family = ModelFamily::kMlp;
    work.job.model.inputs = 1024;
    work.job.model.hidden = {1024};
    work.job.model.classes = 16;
    parameters = parameter_table(work.job.model).size;
    work.next_version = 1;
    work.model = must(write_model(blobs, work.job.model, 0, std::vector<float>(parameters)));
    Random random(1);
    for (std::size_t n = 0; n < kUpdates; ++n) {
      std::vector<float> values(parameters);
      for (float& value : values) value = static_cast<float>(random.uniform() - 0.5);
      work.contributions.push_back({must(blobs.put(bytes_of_floats(values))), n + 1});
    }
  }
};

// The floor: as add_checked, without the check, the norm and the rounding.
#if defined(__x86_64__)
[[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")]]
#endif
[[gnu::optimize("O3")]] void sum_unchecked(std::vector<std::int64_t>& sum, const std::vector<float>& x, std::int64_t weight,
                                           const SumScale& scale) {
  const float factor = std::ldexp(1.0F, scale.shift);
  std::int64_t* to = sum.data();
  const float* from = x.data();
  for (std::size_t i = 0; i < x.size(); ++i) to[i] += weight * static_cast<std::int64_t>(from[i] * factor);
}

std::string cost_of_rules(Updates& updates, double mean) {
  std::string text;
  for (const auto kind : {CombineKind::kMedian, CombineKind::kTrimmedMean, CombineKind::kNormFilter, CombineKind::kGeometricMedian}) {
    updates.work.job.server.combine = kind;
    const double took = best_seconds([&] { must(aggregate(updates.work, {updates.blobs})); });
    text += std::string(text.empty() ? "" : ", ") + name_of(kind) + " " + std::to_string(took / mean).substr(0, 4);
  }
  updates.work.job.server.combine = CombineKind::kMean;
  return text;
}

}  // namespace

// Row 23. What counts an update checks it in the same pass; beside it the same sum without a check.
std::vector<Figure> check_cost() {
  std::vector<Figure> figures = reached();
  const std::size_t count = 10'000'000;
  const SumScale scale = sum_scale(UpdateSpec{});
  std::vector<float> update(count);
  Random random(1);
  for (float& value : update) value = static_cast<float>(random.uniform() - 0.5);
  std::vector<std::int64_t> sum(count);
  const double plain = best_seconds([&] { sum_unchecked(sum, update, 3, scale); });
  const double checked = best_seconds([&] { COVEY_CHECK(!add_checked(sum, update, 3, scale).refused); });
  Updates updates;
  const double mean = best_seconds([&] { must(aggregate(updates.work, {updates.blobs})); });
  figures.push_back(at_most("row 23: finite and norm check over the sum", 100 * (checked / plain - 1), "%", 35,
                            "10M elements: sum alone " + std::to_string(plain * 1e3) + " ms; " + std::to_string(kUpdates) +
                                " updates, whole aggregation over the mean's: " + cost_of_rules(updates, mean)));
  return figures;
}

}  // namespace covey::bench
