#include "aggregation/aggregator.h"

#include <algorithm>
#include <cmath>

#include "aggregation/robust_mean.h"
#include "aggregation/server_optimizer.h"
#include "core/base/fault_point.h"
#include "core/protocol/manifest.h"

namespace covey {
namespace {

constexpr std::size_t kElementsPerTurn = kChunkBytes / sizeof(float);

Result<std::vector<float>> read_floats(BlobStore& blobs, const Digest& id, std::uint64_t first,
                                       std::size_t count) {
  COVEY_TRY(const Bytes bytes, blobs.read(id, first * sizeof(float), count * sizeof(float)));
  if (bytes.size() != count * sizeof(float))
    return unexpected(ErrorCode::kCorrupted, "blob " + short_hex(id) + ": read " + std::to_string(bytes.size()) +
                                                 " bytes where " + std::to_string(count * sizeof(float)) +
                                                 " were asked for");
  return floats_of_bytes(bytes);
}

Result<double> total_weight(const Aggregate& work, std::uint64_t parameters) {
  if (work.contributions.empty())
    return unexpected(ErrorCode::kInvalidArgument, "no update to aggregate; a round commits at least one");
  double total = 0;
  for (const Contribution& part : work.contributions) {
    const std::string name = "update " + short_hex(part.update.id);
    if (part.weight == 0)
      return unexpected(ErrorCode::kInvalidUpdate, name + " has weight 0; it must hold at least one example");
    if (part.update.size != parameters * sizeof(float))
      return unexpected(ErrorCode::kInvalidUpdate,
                        name + " has " + std::to_string(part.update.size) + " bytes; the model needs " +
                            std::to_string(parameters * sizeof(float)));
    total += static_cast<double>(part.weight);
  }
  return total;
}

// Mean of elements [first, first + mean.size()) over all contributions, in their order.
Result<void> mean_of_range(const Aggregate& work, BlobStore& blobs, double weight, std::uint64_t first,
                           std::span<double> mean) {
  std::fill(mean.begin(), mean.end(), 0.0);
  for (const Contribution& part : work.contributions) {
    COVEY_TRY(const std::vector<float> values, read_floats(blobs, part.update.id, first, mean.size()));
    const double share = static_cast<double>(part.weight);
    for (std::size_t i = 0; i < mean.size(); ++i) {
      if (!std::isfinite(values[i]))
        return unexpected(ErrorCode::kInvalidUpdate, "update " + short_hex(part.update.id) + ": element " +
                                                         std::to_string(first + i) + " is not finite");
      mean[i] += share * static_cast<double>(values[i]);
    }
  }
  for (double& value : mean) value /= weight;
  return {};
}

// All slots one after the other: slot s of element i is at [s * parameters + i].
Result<std::vector<float>> load_state(const Aggregate& work, BlobStore& blobs, const ServerOptimizer& optimizer,
                                      std::size_t parameters) {
  std::vector<float> state(optimizer.slots() * parameters);
  if (state.empty()) return state;
  if (!work.optimizer_state) {
    for (std::size_t slot = 0; slot < optimizer.slots(); ++slot)
      std::fill_n(state.begin() + static_cast<std::ptrdiff_t>(slot * parameters), parameters, optimizer.initial(slot));
    return state;
  }
  COVEY_TRY(const Bytes bytes, blobs.get(work.optimizer_state->id));
  if (bytes.size() != state.size() * sizeof(float))
    return unexpected(ErrorCode::kCorrupted, "optimizer state " + short_hex(work.optimizer_state->id) + " has " +
                                                 std::to_string(bytes.size()) + " bytes; the job needs " +
                                                 std::to_string(state.size() * sizeof(float)));
  return floats_of_bytes(bytes);
}

struct Step {                    // one round's arithmetic over the whole model
  const Aggregate& work;
  BlobStore& blobs;
  const ServerOptimizer& optimizer;
  const RobustMean* robust = nullptr;  // null: the plain weighted mean
  double weight = 0;
  std::uint64_t parameters = 0;
  std::vector<float> state;
  double squares = 0;            // of the mean update
};

// Next values of one shard, `range` of the flat buffer.
Result<BlobRef> step_shard(Step& step, const BlobRef& shard, const ShardRange& range) {
  std::vector<float> next(static_cast<std::size_t>(range.size));
  std::vector<double> mean;
  for (std::size_t at = 0; at < next.size(); at += kElementsPerTurn) {
    const std::size_t count = std::min(kElementsPerTurn, next.size() - at);
    const std::uint64_t first = range.offset + at;
    mean.resize(count);
    COVEY_TRY(const std::vector<float> now, read_floats(step.blobs, shard.id, at, count));
    if (step.robust != nullptr)
      COVEY_TRY_VOID(step.robust->range(first, mean));
    else
      COVEY_TRY_VOID(mean_of_range(step.work, step.blobs, step.weight, first, mean));
    for (const double value : mean) step.squares += value * value;
    const std::span<float> target = std::span(next).subspan(at, count);
    std::copy(now.begin(), now.end(), target.begin());
    std::vector<std::span<float>> slots;
    for (std::size_t slot = 0; slot < step.optimizer.slots(); ++slot)
      slots.push_back(std::span(step.state)
                          .subspan(static_cast<std::size_t>(slot * step.parameters + first), count));
    step.optimizer.step(target, mean, slots);
    for (std::size_t i = 0; i < count; ++i)
      if (!std::isfinite(target[i]))
        return unexpected(ErrorCode::kInvalidUpdate,
                          "the server's step makes parameter " + std::to_string(first + i) +
                              " not finite; lower server.learning_rate or set update.clip_norm");
  }
  fault_point("aggregate.shard.summed");
  return step.blobs.put(bytes_of_floats(next));
}

}  // namespace

Result<Aggregated> aggregate(const Aggregate& work, BlobStore& blobs) {
  COVEY_TRY(const Bytes encoded, blobs.get(work.model.id));
  COVEY_TRY(ModelManifest manifest, decode_manifest(encoded));
  const ParameterTable table = parameter_table(manifest.spec);
  COVEY_CHECK(manifest.shards.size() == table.shards.size());
  COVEY_TRY(const double weight, total_weight(work, table.size));
  const ServerOptimizer optimizer(work.job.server);
  std::optional<RobustMean> robust;
  if (work.job.server.combine != CombineKind::kMean) {
    COVEY_TRY(robust, RobustMean::create(work.job.server, work.contributions, table.size, blobs));
  }
  Step step{work, blobs, optimizer, robust ? &*robust : nullptr, weight, table.size, {}, 0};
  COVEY_TRY(step.state, load_state(work, blobs, optimizer, static_cast<std::size_t>(table.size)));
  for (std::size_t i = 0; i < table.shards.size(); ++i) {
    COVEY_TRY(manifest.shards[i], step_shard(step, manifest.shards[i], table.shards[i]));
  }
  manifest.version = work.next_version;
  fault_point("aggregate.shards.put");
  Aggregated result;
  COVEY_TRY(result.model, blobs.put(encode(manifest)));
  fault_point("aggregate.manifest.put");
  if (!step.state.empty()) {
    COVEY_TRY(result.optimizer_state, blobs.put(bytes_of_floats(step.state)));
  }
  result.update_norm = std::sqrt(step.squares);
  return result;
}

}  // namespace covey
