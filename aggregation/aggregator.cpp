#include "aggregation/aggregator.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "aggregation/robust_mean.h"
#include "aggregation/server_optimizer.h"
#include "core/base/fault_point.h"
#include "core/protocol/exchanged.h"
#include "core/protocol/manifest.h"

namespace covey {
namespace {

constexpr std::size_t kElements = kChunkBytes / sizeof(float);  // of one range

std::span<std::uint8_t> bytes_of_values(std::span<float> values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), values.size_bytes()};
}

Result<std::int64_t> total_weight(const Aggregate& work, std::uint64_t parameters) {
  if (work.contributions.empty())
    return unexpected(ErrorCode::kInvalidArgument, "no update to aggregate; a round commits at least one");
  std::int64_t total = 0;
  for (const Contribution& part : work.contributions) {
    const std::string name = "update " + short_hex(part.update.id);
    if (part.weight == 0)
      return unexpected(ErrorCode::kInvalidUpdate, name + " has weight 0; it must hold at least one example");
    if (part.update.size != parameters * sizeof(float))
      return unexpected(ErrorCode::kInvalidUpdate,
                        name + " has " + std::to_string(part.update.size) + " bytes; this job's have " +
                            std::to_string(parameters * sizeof(float)));
    if (part.weight > static_cast<std::uint64_t>(kWeightMax - total))
      return unexpected(ErrorCode::kInvalidArgument,
                        name + ": the weights sum up to more than " + std::to_string(kWeightMax));
    total += static_cast<std::int64_t>(part.weight);
  }
  return total;
}

struct Range {             // what one thread works on
  std::uint64_t first = 0; // of the elements that are exchanged
  std::vector<std::int64_t> sum;
  std::vector<double> mean;
  std::vector<float> update;
  std::vector<float> next;
  std::vector<std::vector<float>> state;  // by slot
  double squares = 0;      // of the mean
  Result<void> outcome;
};

class Step {  // one round's arithmetic over all that is exchanged
 public:
  Step(const Aggregate& work, const AggregateParts& parts, std::uint64_t elements, std::int64_t weight)
      : work_(work), parts_(parts), elements_(elements), weight_(weight), scale_(sum_scale(work.job.update)),
        optimizer_(work.job.server), ranges_(std::max<std::size_t>(1, parts.share ? parts.ranges : 1)) {}

  Result<void> begin();
  // `first`: where the shard begins in what is exchanged.
  Result<std::unique_ptr<BlobWriter>> shard(const BlobRef& now, const ShardRange& place, std::uint64_t first);
  Result<std::optional<BlobRef>> finish_state();
  double norm() const { return std::sqrt(squares_); }

 private:
  Result<void> compute(Range& range, const BlobRef& shard, std::uint64_t at, std::uint64_t offset) const;
  Result<void> mean_of_range(Range& range) const;
  Result<void> load_state(Range& range) const;

  const Aggregate& work_;
  const AggregateParts& parts_;
  std::uint64_t elements_;
  std::int64_t weight_;
  SumScale scale_;
  ServerOptimizer optimizer_;
  std::optional<RobustMean> robust_;  // none: the weighted mean
  std::vector<Range> ranges_;
  std::vector<std::unique_ptr<BlobWriter>> state_;  // by slot: they lie one after the other in the blob
  double squares_ = 0;
};

Result<void> Step::begin() {
  const std::uint64_t bytes = optimizer_.slots() * elements_ * sizeof(float);
  if (work_.optimizer_state && work_.optimizer_state->size != bytes)
    return unexpected(ErrorCode::kCorrupted, "optimizer state " + short_hex(work_.optimizer_state->id) + " has " +
                                                 std::to_string(work_.optimizer_state->size) +
                                                 " bytes; the job needs " + std::to_string(bytes));
  for (std::size_t slot = 0; slot < optimizer_.slots(); ++slot) {
    COVEY_TRY(auto writer, parts_.blobs.writer());
    state_.push_back(std::move(writer));
  }
  if (work_.job.server.combine == CombineKind::kMean || parts_.mean) return {};
  COVEY_CHECK(parts_.sum == nullptr);  // JobSpec::validate: such a job keeps its updates
  COVEY_TRY(robust_, RobustMean::create(work_.job.server, work_.contributions, elements_, parts_.blobs, parts_.robust_bytes_max));
  return {};
}

Result<void> Step::mean_of_range(Range& range) const {
  const std::size_t count = range.next.size();
  range.mean.resize(count);
  if (parts_.mean) return parts_.mean(range.first, range.mean);
  if (robust_) return robust_->range(range.first, range.mean);
  if (parts_.sum != nullptr) {
    mean_of(parts_.sum->range(static_cast<std::size_t>(range.first), count), weight_, scale_, range.mean);
    return {};
  }
  range.sum.assign(count, 0);
  range.update.resize(count);
  for (const Contribution& part : work_.contributions) {
    COVEY_TRY_VOID(parts_.blobs.read_into(part.update.id, range.first * sizeof(float), bytes_of_values(range.update)));
    const Added added = add_checked(range.sum, range.update, static_cast<std::int64_t>(part.weight), scale_);
    if (added.refused)
      return unexpected(ErrorCode::kInvalidUpdate,
                        "update " + short_hex(part.update.id) + ": " +
                            refusal_of(range.update[*added.refused], range.first + *added.refused, scale_));
  }
  mean_of(range.sum, weight_, scale_, range.mean);
  return {};
}

Result<void> Step::load_state(Range& range) const {
  range.state.resize(optimizer_.slots());
  for (std::size_t slot = 0; slot < range.state.size(); ++slot) {
    std::vector<float>& values = range.state[slot];
    values.assign(range.next.size(), optimizer_.initial(slot));
    if (!work_.optimizer_state) continue;
    COVEY_TRY_VOID(parts_.blobs.read_into(work_.optimizer_state->id,
                                          (slot * elements_ + range.first) * sizeof(float), bytes_of_values(values)));
  }
  return {};
}

// Elements [at, at + range.next.size()) of the shard, which begins in the flat buffer at `offset`.
Result<void> Step::compute(Range& range, const BlobRef& shard, std::uint64_t at, std::uint64_t offset) const {
  COVEY_TRY_VOID(parts_.blobs.read_into(shard.id, at * sizeof(float), bytes_of_values(range.next)));
  COVEY_TRY_VOID(mean_of_range(range));
  COVEY_TRY_VOID(load_state(range));
  range.squares = 0;
  for (const double value : range.mean) range.squares += value * value;
  std::vector<std::span<float>> slots(range.state.begin(), range.state.end());
  optimizer_.step(range.next, range.mean, slots);
  for (std::size_t i = 0; i < range.next.size(); ++i)
    if (!std::isfinite(range.next[i]))
      return unexpected(ErrorCode::kInvalidUpdate,
                        "the server's step makes parameter " + std::to_string(offset + at + i) +
                            " not finite; lower server.learning_rate or set update.clip_norm");
  return {};
}

// Next values of one shard, still to be finished. Ranges are computed side by side and written in their order.
Result<std::unique_ptr<BlobWriter>> Step::shard(const BlobRef& now, const ShardRange& place, std::uint64_t first) {
  COVEY_TRY(auto writer, parts_.blobs.writer());
  for (std::uint64_t at = 0; at < place.size;) {
    const std::uint64_t begin = at;
    std::size_t used = 0;
    for (; used < ranges_.size() && at < place.size; ++used) {
      const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(kElements, place.size - at));
      ranges_[used].first = first + at;
      ranges_[used].next.resize(count);
      at += count;
    }
    const auto part = [&](std::size_t i) {
      ranges_[i].outcome = compute(ranges_[i], now, begin + std::uint64_t{i} * kElements, place.offset);
    };
    if (used == 1) {
      part(0);
    } else {
      parts_.share(used, part);
    }
    for (std::size_t i = 0; i < used; ++i) {
      Range& range = ranges_[i];
      COVEY_TRY_VOID(range.outcome);
      squares_ += range.squares;
      COVEY_TRY_VOID(writer->append(bytes_of_values(range.next)));
      for (std::size_t slot = 0; slot < state_.size(); ++slot)
        COVEY_TRY_VOID(state_[slot]->append(bytes_of_values(range.state[slot])));
    }
  }
  fault_point("aggregate.shard.summed");
  return writer;
}

Result<std::optional<BlobRef>> Step::finish_state() {
  if (state_.empty()) return std::optional<BlobRef>();
  Bytes buffer(kChunkBytes);
  const std::uint64_t bytes = elements_ * sizeof(float);
  for (std::size_t slot = 1; slot < state_.size(); ++slot)
    for (std::uint64_t at = 0; at < bytes; at += kChunkBytes) {
      const std::span<std::uint8_t> piece =
          std::span(buffer).first(static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, bytes - at)));
      COVEY_TRY_VOID(state_[slot]->read_back(at, piece));
      COVEY_TRY_VOID(state_.front()->append(piece));
    }
  COVEY_TRY(const BlobRef state, state_.front()->finish());
  return std::optional(state);
}

}  // namespace

Result<Aggregated> aggregate(const Aggregate& work, BlobStore& blobs) {
  return aggregate(work, AggregateParts{.blobs = blobs, .share = nullptr});
}

Result<Aggregated> aggregate(const Aggregate& work, const AggregateParts& parts) {
  COVEY_TRY(const Bytes encoded, parts.blobs.get(work.model.id));
  COVEY_TRY(ModelManifest manifest, decode_manifest(encoded));
  const ParameterTable table = parameter_table(manifest.spec);
  COVEY_CHECK(manifest.shards.size() == table.shards.size());
  const Exchanged exchanged(work.job);
  std::int64_t weight = 0;
  if (!parts.mean) {
    COVEY_TRY(weight, total_weight(work, exchanged.size()));
  }
  if (parts.sum != nullptr)
    COVEY_CHECK(parts.sum->parameters() == exchanged.size() && parts.sum->weight() == weight);
  Step step(work, parts, exchanged.size(), weight);
  COVEY_TRY_VOID(step.begin());
  // None is a blob before all of them are made: a step that fails half-way leaves nothing behind. A shard that is
  // not exchanged is the next model's too.
  std::vector<std::unique_ptr<BlobWriter>> shards(table.shards.size());
  for (std::size_t i = 0; i < shards.size(); ++i) {
    const std::optional<std::uint64_t> first = exchanged.place_of(table.shards[i]);
    if (!first) continue;
    COVEY_TRY(shards[i], step.shard(manifest.shards[i], table.shards[i], *first));
  }
  for (std::size_t i = 0; i < shards.size(); ++i) {
    if (shards[i] == nullptr) continue;
    COVEY_TRY(manifest.shards[i], shards[i]->finish());
  }
  manifest.version = work.next_version;
  fault_point("aggregate.shards.put");
  Aggregated result;
  COVEY_TRY(result.model, parts.blobs.put(encode(manifest)));
  fault_point("aggregate.manifest.put");
  COVEY_TRY(result.optimizer_state, step.finish_state());
  result.update_norm = step.norm();
  return result;
}

}  // namespace covey
