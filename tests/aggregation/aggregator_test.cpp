#include "aggregation/aggregator.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "aggregation/robust_mean.h"
#include "core/base/random.h"
#include "core/base/worker_pool.h"
#include "core/protocol/exchanged.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"

namespace covey {
namespace {

struct Bench {
  explicit Bench(ModelFamily family = ModelFamily::kLogistic) {
    job.privacy.secure_aggregation = false;
    job.model.family = family;
    job.model.inputs = 3;
    job.model.classes = 2;
    if (family == ModelFamily::kTransformer) {  // several shards
      job.model.vocabulary = 32;
      job.model.layers = 2;
      job.model.width = 16;
      job.model.heads = 2;
      job.model.context = 8;
    }
    if (family == ModelFamily::kMlp) {  // several chunks: 300 x 400 weights are 480 kB
      job.model.inputs = 300;
      job.model.hidden = {400};
    }
    size = static_cast<std::size_t>(parameter_table(job.model).size);
    model = write_model(blobs, job.model, 0, values("model", 0)).value();
  }
  std::vector<float> values(std::string_view label, std::uint64_t n) const {
    Random random = Random(7).split(label, n);
    std::vector<float> out(size);
    for (float& v : out) v = static_cast<float>(random.normal());
    return out;
  }
  Contribution contribute(const std::vector<float>& update, std::uint64_t weight) {
    return {blobs.put(bytes_of_floats(update)).value(), weight};
  }
  Aggregate work(std::vector<Contribution> contributions) const {
    Aggregate work;
    work.job = job;
    work.model = model;
    work.next_version = 1;
    work.contributions = std::move(contributions);
    return work;
  }
  std::vector<float> parameters_of(const BlobRef& manifest) { return read_model(blobs, manifest.id).value().parameters; }

  MemoryBlobs blobs;
  JobSpec job;
  BlobRef model;
  std::size_t size = 0;
};

}  // namespace

TEST_CASE("aggregate: fedavg with learning rate 1 is the weighted mean of the clients' models") {
  for (const auto family : {ModelFamily::kLogistic, ModelFamily::kMlp, ModelFamily::kTransformer}) {
    Bench bench(family);
    const auto global = bench.values("model", 0);
    const auto a = bench.values("update", 1), b = bench.values("update", 2);
    const auto result = aggregate(bench.work({bench.contribute(a, 3), bench.contribute(b, 1)}), bench.blobs);
    REQUIRE(result);
    CHECK_FALSE(result->optimizer_state);
    const auto next = bench.parameters_of(result->model);
    REQUIRE(next.size() == bench.size);
    double squares = 0;
    bool equal = true;
    for (std::size_t i = 0; i < next.size(); ++i) {
      const double mean = (3.0 * static_cast<double>(a[i]) + 1.0 * static_cast<double>(b[i])) / 4.0;
      squares += mean * mean;
      // Half a unit of the fixed sum, and the rounding to f32.
      const double expected = static_cast<double>(global[i]) - mean;
      const double allowed = std::ldexp(1.0, -27) + std::ldexp(std::abs(expected), -24);
      equal = equal && std::abs(static_cast<double>(next[i]) - expected) <= allowed;
    }
    CHECK(equal);
    CHECK(result->update_norm == doctest::Approx(std::sqrt(squares)).epsilon(1e-7));
    CHECK(read_model(bench.blobs, result->model.id)->manifest.version == 1);
  }
}

TEST_CASE("aggregate: equal updates give that update, whatever the weights") {
  Bench bench;
  const auto global = bench.values("model", 0), update = bench.values("update", 1);
  const auto one = aggregate(bench.work({bench.contribute(update, 5)}), bench.blobs);
  const auto many = aggregate(bench.work({bench.contribute(update, 1), bench.contribute(update, 2),
                                          bench.contribute(update, 5)}),
                              bench.blobs);
  REQUIRE(one);
  REQUIRE(many);
  CHECK(one->model == many->model);
  CHECK(std::abs(bench.parameters_of(one->model)[0] - (global[0] - update[0])) < 1e-6F);
}

TEST_CASE("aggregate: the same contributions in any order, on any number of threads, are the same bits") {
  Bench bench(ModelFamily::kMlp);
  std::vector<Contribution> parts;
  for (std::uint64_t n = 1; n <= 5; ++n) parts.push_back(bench.contribute(bench.values("update", n), 10 * n));
  const auto first = aggregate(bench.work(parts), bench.blobs);
  std::reverse(parts.begin(), parts.end());
  const auto again = aggregate(bench.work(parts), bench.blobs);
  REQUIRE(first);
  REQUIRE(again);
  CHECK(first->model == again->model);
  CHECK(first->update_norm == again->update_norm);
  WorkerPool pool(3);
  const auto shared = aggregate(bench.work(parts), {bench.blobs, 4, [&](std::size_t count, const auto& part) { pool.share(count, part); }, nullptr});
  REQUIRE(shared);
  CHECK(first->model == shared->model);
  CHECK(first->update_norm == shared->update_norm);
}

TEST_CASE("aggregate: updates summed as they came give the model of updates that were kept") {
  for (const auto optimizer : {ServerOptimizerKind::kFedAvg, ServerOptimizerKind::kFedYogi}) {
    Bench bench(ModelFamily::kMlp);
    bench.job.server.optimizer = optimizer;
    std::vector<Contribution> parts;
    RoundSum sum(bench.size, sum_scale({}));
    for (std::uint64_t n = 1; n <= 4; ++n) {
      parts.push_back(bench.contribute(bench.values("update", n), 3 * n));
      REQUIRE(sum.add({parts.back().update, bench.size, {}, SumInto{}, 0}, static_cast<std::int64_t>(3 * n), bench.blobs));
    }
    const auto kept = aggregate(bench.work(parts), bench.blobs);
    const auto streamed = aggregate(bench.work(parts), {bench.blobs, 1, nullptr, &sum});
    REQUIRE(kept);
    REQUIRE(streamed);
    CHECK(kept->model == streamed->model);
    CHECK(kept->optimizer_state == streamed->optimizer_state);
    CHECK(kept->update_norm == streamed->update_norm);
  }
}

TEST_CASE("aggregate: the optimizer's state goes on from round to round") {
  Bench bench(ModelFamily::kTransformer);
  bench.job.server.optimizer = ServerOptimizerKind::kFedAvgM;
  bench.job.server.momentum = 0.5;
  const auto update = bench.values("update", 1);
  Aggregate work = bench.work({bench.contribute(update, 1)});
  const auto first = aggregate(work, bench.blobs);
  REQUIRE(first);
  REQUIRE(first->optimizer_state);
  CHECK(first->optimizer_state->size == bench.size * sizeof(float));
  work.model = first->model;
  work.optimizer_state = first->optimizer_state;
  work.next_version = 2;
  const auto second = aggregate(work, bench.blobs);
  REQUIRE(second);
  const auto state = floats_of_bytes(bench.blobs.get(second->optimizer_state->id).value()).value();
  bool carried = true;
  for (std::size_t i = 0; i < state.size(); ++i)
    carried = carried && std::abs(state[i] - 1.5F * update[i]) < 1e-6F;
  CHECK(carried);
}

TEST_CASE("aggregate: adaptive optimizers store m and v") {
  for (const auto kind : {ServerOptimizerKind::kFedAdam, ServerOptimizerKind::kFedYogi}) {
    Bench bench;
    bench.job.server.optimizer = kind;
    const auto result = aggregate(bench.work({bench.contribute(bench.values("update", 1), 1)}), bench.blobs);
    REQUIRE(result);
    REQUIRE(result->optimizer_state);
    CHECK(result->optimizer_state->size == 2 * bench.size * sizeof(float));
  }
}

TEST_CASE("aggregate: steps by what server.combine says, over all shards") {
  for (const auto kind : {CombineKind::kMedian, CombineKind::kTrimmedMean, CombineKind::kNormFilter, CombineKind::kGeometricMedian}) {
    Bench bench(ModelFamily::kTransformer);
    bench.job.server.combine = kind;
    std::vector<Contribution> parts;
    for (std::uint64_t n = 1; n <= 5; ++n) parts.push_back(bench.contribute(bench.values("update", n), n));
    parts.push_back(bench.contribute(std::vector<float>(bench.size, 1e9F), std::uint64_t{1} << 20U));
    const auto result = aggregate(bench.work(parts), bench.blobs);
    REQUIRE(result);
    auto robust = RobustMean::create(bench.job.server, parts, bench.size, bench.blobs);
    REQUIRE(robust.has_value());
    std::vector<double> mean(bench.size);
    REQUIRE(robust->range(0, mean));
    const std::vector<float> before = bench.parameters_of(bench.model);
    const std::vector<float> after = bench.parameters_of(result->model);
    for (std::size_t i = 0; i < bench.size; ++i)
      CHECK(after[i] == static_cast<float>(static_cast<double>(before[i]) - mean[i]));
    CHECK(result->update_norm < 1e6);
  }
}

TEST_CASE("aggregate: refuses what cannot be summed") {
  Bench bench;
  auto bad = bench.values("update", 1);
  CHECK(aggregate(bench.work({}), bench.blobs).error().code == ErrorCode::kInvalidArgument);
  CHECK(aggregate(bench.work({bench.contribute(bad, 0)}), bench.blobs).error().code == ErrorCode::kInvalidUpdate);
  auto longer = bad;
  longer.push_back(0);
  CHECK(aggregate(bench.work({bench.contribute(longer, 1)}), bench.blobs).error().code == ErrorCode::kInvalidUpdate);
  bad[2] = std::numeric_limits<float>::quiet_NaN();
  const Contribution part = bench.contribute(bad, 1);
  const auto refused = aggregate(bench.work({part}), bench.blobs);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kInvalidUpdate);
  CHECK(refused.error().message.find(short_hex(part.update.id)) != std::string::npos);
  CHECK(refused.error().message.find("element 2") != std::string::npos);
  const Contribution gone{BlobRef{Digest{{9}}, bench.size * sizeof(float)}, 1};
  CHECK(aggregate(bench.work({gone}), bench.blobs).error().code == ErrorCode::kNotFound);
  Aggregate torn = bench.work({bench.contribute(bench.values("update", 2), 1)});
  torn.job.server.optimizer = ServerOptimizerKind::kFedAvgM;
  torn.optimizer_state = bench.contribute(longer, 1).update;
  CHECK(aggregate(torn, bench.blobs).error().code == ErrorCode::kCorrupted);
}

// What is exchanged of a full update: frozen are the embedding and the first of two blocks.
struct Partly : Bench {
  Partly() : Bench(ModelFamily::kTransformer) {
    job.train.frozen = {"embedding", "layers.0"};
    REQUIRE(Exchanged(job).ranges().size() == 1);
  }
  std::vector<float> update(std::uint64_t n, Exchange exchange) const {
    const ParameterRange range = Exchanged(job).ranges().front();
    std::vector<float> all = values("update", n);
    std::fill(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(range.offset), 0.0F);
    std::fill(all.begin() + static_cast<std::ptrdiff_t>(range.offset + range.size), all.end(), 0.0F);
    if (exchange == Exchange::kAll) return all;
    return {all.begin() + static_cast<std::ptrdiff_t>(range.offset), all.begin() + static_cast<std::ptrdiff_t>(range.offset + range.size)};
  }
  // Three rounds of three clients.
  Aggregated run(Exchange exchange) {
    Aggregated last;
    BlobRef now = model;
    for (std::uint32_t round = 1; round <= 3; ++round) {
      Aggregate one = work({});
      one.job.update.exchange = exchange;
      one.model = now;
      one.next_version = round;
      one.optimizer_state = last.optimizer_state;
      for (std::uint64_t client = 1; client <= 3; ++client)
        one.contributions.push_back(contribute(update(3 * round + client, exchange), client));
      auto result = aggregate(one, blobs);
      REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
      last = *result;
      now = last.model;
    }
    return last;
  }
};

TEST_CASE("aggregate: updates of what is trained make the model that whole updates with zeros make, under every rule") {
  Partly bench;
  for (const auto optimizer : {ServerOptimizerKind::kFedAvg, ServerOptimizerKind::kFedAvgM, ServerOptimizerKind::kFedAdam,
                               ServerOptimizerKind::kFedYogi})
    for (const auto combine : {CombineKind::kMean, CombineKind::kMedian, CombineKind::kTrimmedMean, CombineKind::kNormFilter}) {
      bench.job.server.optimizer = optimizer;
      bench.job.server.combine = combine;
      INFO(name_of(optimizer) << ", " << name_of(combine));
      const Aggregated part = bench.run(Exchange::kTrained), whole = bench.run(Exchange::kAll);
      CHECK(part.model == whole.model);
      CHECK(part.update_norm == doctest::Approx(whole.update_norm).epsilon(1e-12));
      if (part.optimizer_state)
        CHECK(part.optimizer_state->size * bench.size == whole.optimizer_state->size * exchanged_size(bench.job));
    }
}

TEST_CASE("aggregate: a frozen shard stays the blob that it is, and is neither read nor written") {
  Partly bench;
  const StoredModel before = *read_model(bench.blobs, bench.model.id);
  REQUIRE(bench.blobs.erase(before.manifest.shards[0].id).has_value());
  REQUIRE(bench.blobs.erase(before.manifest.shards[1].id).has_value());
  const auto result = aggregate(bench.work({bench.contribute(bench.update(1, Exchange::kTrained), 2)}), bench.blobs);
  REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
  const ModelManifest after = *decode_manifest(*bench.blobs.get(result->model.id));
  CHECK(after.shards[0] == before.manifest.shards[0]);
  CHECK(after.shards[1] == before.manifest.shards[1]);
  CHECK(after.shards[2] != before.manifest.shards[2]);
}

TEST_CASE("aggregate: an update, or a state, of all parameters is refused where the trained ones are exchanged") {
  Partly bench;
  const auto whole = aggregate(bench.work({bench.contribute(bench.update(1, Exchange::kAll), 1)}), bench.blobs);
  REQUIRE_FALSE(whole);
  CHECK(whole.error().code == ErrorCode::kInvalidUpdate);
  CHECK(whole.error().message.find(std::to_string(exchanged_size(bench.job) * 4)) != std::string::npos);
  Aggregate stale = bench.work({bench.contribute(bench.update(1, Exchange::kTrained), 1)});
  stale.job.server.optimizer = ServerOptimizerKind::kFedAvgM;
  stale.optimizer_state = bench.contribute(bench.values("state", 1), 1).update;
  CHECK(aggregate(stale, bench.blobs).error().code == ErrorCode::kCorrupted);
}

TEST_CASE("aggregate: a step that leaves the numbers is refused") {
  Bench bench;
  bench.job.server.learning_rate = 1e38;
  const std::vector<float> huge(bench.size, 60.0F);
  const auto refused = aggregate(bench.work({bench.contribute(huge, 1)}), bench.blobs);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == ErrorCode::kInvalidUpdate);
}

TEST_CASE("aggregate: a step that fails in its last shard leaves no blob behind") {
  Bench bench(ModelFamily::kTransformer);
  REQUIRE(parameter_table(bench.job.model).shards.size() > 1);
  bench.job.server.learning_rate = 1e38;
  std::vector<float> update(bench.size, 0.0F);
  update.back() = 60.0F;  // the very last parameter leaves the numbers
  const Aggregate work = bench.work({bench.contribute(update, 1)});
  const auto before = bench.blobs.list().value();
  const auto result = aggregate(work, bench.blobs);
  REQUIRE_FALSE(result);
  CHECK(result.error().code == ErrorCode::kInvalidUpdate);
  CHECK(result.error().message.find("not finite") != std::string::npos);
  CHECK(bench.blobs.list().value() == before);
}

}  // namespace covey
