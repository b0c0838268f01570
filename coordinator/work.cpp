#include "coordinator/work.h"

#include <algorithm>

#include "aggregation/aggregator.h"
#include "coordinator/work_secure.h"
#include "core/nn/model.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"
#include "core/protocol/records.h"

namespace covey {

CoordinatorWork::CoordinatorWork(CoordinatorWorkConfig config)
    : config_(std::move(config)), ranges_(config_.threads > 1 ? std::make_unique<WorkerPool>(config_.threads - 1) : nullptr) {
  COVEY_CHECK(config_.threads >= 1);
}

// Shard by shard and piece by piece: a model never lies in memory as a whole.
Result<WorkValue> CoordinatorWork::run(const InitModel& work, BlobStore& blobs) {
  const ParameterTable table = parameter_table(work.job.model);
  InitialParameters parameters(work.job.model, Random(work.job.seed).split("model"));
  std::vector<float> piece(kChunkBytes / sizeof(float));
  ModelManifest manifest{work.job.model, 0, {}};
  for (const ShardRange& shard : table.shards) {
    COVEY_TRY(const auto writer, blobs.writer());
    for (std::uint64_t at = 0; at < shard.size; at += piece.size()) {
      const std::span<float> values =
          std::span(piece).first(static_cast<std::size_t>(std::min<std::uint64_t>(piece.size(), shard.size - at)));
      parameters.next(values);
      COVEY_TRY_VOID(writer->append({reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()}));
    }
    COVEY_TRY(const BlobRef blob, writer->finish());
    manifest.shards.push_back(blob);
  }
  COVEY_TRY(const BlobRef model, blobs.put(encode(manifest)));
  COVEY_TRY_VOID(blobs.put(bytes_of(public_toml(work.job))));  // what clients fetch as RoundOffer::config
  return WorkValue(ModelReady{model});
}

std::uint64_t CoordinatorWork::held_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& [key, sum] : sums_) bytes += RoundSum::memory_bytes(sum->parameters());
  return bytes;
}

std::uint64_t CoordinatorWork::sums_bytes() const {
  const std::lock_guard lock(mutex_);
  return held_bytes();
}

Result<CoordinatorWork::Sum> CoordinatorWork::sum_for(const CheckUpdate& work) {
  const RoundKey& key = work.sum->key;
  const std::lock_guard lock(mutex_);
  if (const auto at = dropped_.find(key.job); at != dropped_.end() && key <= at->second)
    return unexpected(ErrorCode::kUnavailable, to_text(key) + " is over");
  if (const auto at = sums_.find(key); at != sums_.end()) return at->second;
  const std::uint64_t bytes = RoundSum::memory_bytes(work.parameters), held = held_bytes();
  if (bytes > config_.sums_bytes_max || held > config_.sums_bytes_max - bytes)
    return unexpected(ErrorCode::kResourceExhausted,
                      to_text(key) + ": the sum of its updates takes " + std::to_string(bytes) + " bytes and " +
                          std::to_string(held) + " are taken; --memory allows " + std::to_string(config_.sums_bytes_max));
  return sums_[key] = std::make_shared<RoundSum>(static_cast<std::size_t>(work.parameters), sum_scale(work.limits));
}

Result<WorkValue> CoordinatorWork::run(const CheckUpdate& work, BlobStore& blobs) {
  if (!work.sum) {
    COVEY_TRY(const UpdateChecked checked, check_update(work, blobs));
    return WorkValue(checked);
  }
  COVEY_TRY(const Sum sum, sum_for(work));
  COVEY_TRY(const UpdateChecked checked, sum->add(work, static_cast<std::int64_t>(work.sum->weight), blobs));
  return WorkValue(checked);
}

Result<WorkValue> CoordinatorWork::run(const Aggregate& work, BlobStore& blobs) {
  AggregateParts parts{blobs, 1, nullptr, nullptr, nullptr};
  if (ranges_ != nullptr) {
    parts.ranges = 2 * config_.threads;
    parts.share = [this](std::size_t count, const auto& part) { ranges_->share(count, part); };
  }
  Sum sum;  // outlives the work, even if it is dropped meanwhile
  if (work.job.durability == Durability::kAttempt) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto at = sums_.find(work.key); at != sums_.end()) sum = at->second;
    }
    if (sum == nullptr || !sum->holds(work.contributions))
      return unexpected(ErrorCode::kUnavailable, to_text(work.key) + ": the sum in memory is not the sum of its updates");
    parts.sum = sum.get();
  }
  COVEY_TRY(Aggregated aggregated, aggregate(work, parts));
  return WorkValue(std::move(aggregated));
}

Result<WorkValue> CoordinatorWork::run(const DropSum& work, BlobStore&) {
  const std::lock_guard lock(mutex_);
  RoundKey& latest = dropped_.try_emplace(work.key.job, work.key).first->second;
  latest = std::max(latest, work.key);
  std::erase_if(sums_, [&](const auto& entry) { return entry.first.job == work.key.job && entry.first <= latest; });
  return WorkValue(SumDropped{});
}

Result<WorkValue> CoordinatorWork::run(const PutBlob& work, BlobStore& blobs) {
  COVEY_TRY(const BlobRef blob, blobs.put(work.content));
  return WorkValue(BlobPut{blob});
}

Result<WorkValue> CoordinatorWork::run(const CheckMasked& work, BlobStore& blobs) {
  COVEY_TRY(const MaskedChecked checked, check_masked(work, blobs));
  return WorkValue(checked);
}

Result<WorkValue> CoordinatorWork::run(const Unmask& work, BlobStore& blobs) {
  WorkerPool alone(1);
  UnmaskParts parts{blobs, ranges_ != nullptr ? *ranges_ : alone, 1, nullptr};
  if (ranges_ != nullptr) {
    parts.ranges = 2 * config_.threads;
    parts.share = [this](std::size_t count, const auto& part) { ranges_->share(count, part); };
  }
  COVEY_TRY(Unmasked opened, unmask(work, parts));
  return WorkValue(std::move(opened));
}

// Sequences have no gaps, so the records are found one by one without a scan.
Result<WorkValue> CoordinatorWork::run(const ReadChain& work, BlobStore&) {
  if (!config_.rows) return unexpected(ErrorCode::kUnsupported, "this process gives its work no access to rows");
  ChainRows page;
  std::size_t bytes = 0;
  while (page.rows.size() < kChainPageRowsMax) {
    const std::uint64_t sequence = work.after + page.rows.size() + 1;
    if (sequence <= work.after) break;  // past the last number there is
    COVEY_TRY(const std::optional<Bytes> row, config_.rows(work.table + hex_number(sequence)));
    if (!row) break;
    bytes += row->size();
    if (bytes > kChainPageBytesMax && !page.rows.empty()) break;
    COVEY_TRY(ChainRecord record, decode_chain_record(*row));
    page.rows.push_back(std::move(record));
  }
  return WorkValue(std::move(page));
}

template <class Other>
Result<WorkValue> CoordinatorWork::run(const Other&, BlobStore&) {
  COVEY_CHECK(!"a client's work reached the coordinator's executor");
  return unexpected(ErrorCode::kInternal, "");
}

Result<WorkValue> CoordinatorWork::compute(const Work& work, BlobStore& blobs) {
  return std::visit([&](const auto& w) { return run(w, blobs); }, work);
}

void CoordinatorWork::forget_all() {
  const std::lock_guard lock(mutex_);
  sums_.clear();
  dropped_.clear();
}

Result<WorkValue> coordinator_work(const Work& work, BlobStore& blobs, const RowReader& rows) {
  return CoordinatorWork({1, ~std::uint64_t{0}, rows}).compute(work, blobs);
}

}  // namespace covey
