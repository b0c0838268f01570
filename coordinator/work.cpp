#include "coordinator/work.h"

#include <algorithm>

#include "aggregation/aggregator.h"
#include "aggregation/robust_mean.h"
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

namespace {

// One parameter at the end of `writer`: of the model that the job starts from, else of the seed.
class InitialWriter {
 public:
  InitialWriter(const JobSpec& job, const ParameterReader& start)
      : parameters_(job.model, Random(job.seed).split("model")), start_(start), piece_(kChunkBytes / sizeof(float)) {}

  Result<void> write(const ParameterInfo& info, BlobWriter& writer) {
    std::optional<std::vector<float>> values;
    if (start_) {
      COVEY_TRY(values, start_(info));
    }
    if (!values) return write_seeded(info.size, writer);
    COVEY_CHECK(values->size() == info.size);
    parameters_.skip();
    return append(*values, writer);
  }

 private:
  // Piece by piece: a parameter never lies in memory as a whole.
  Result<void> write_seeded(std::uint64_t size, BlobWriter& writer) {
    for (std::uint64_t at = 0; at < size; at += piece_.size()) {
      const std::span<float> values =
          std::span(piece_).first(static_cast<std::size_t>(std::min<std::uint64_t>(piece_.size(), size - at)));
      parameters_.next(values);
      COVEY_TRY_VOID(append(values, writer));
    }
    return {};
  }
  static Result<void> append(std::span<const float> values, BlobWriter& writer) {
    return writer.append({reinterpret_cast<const std::uint8_t*>(values.data()), values.size_bytes()});
  }

  InitialParameters parameters_;
  const ParameterReader& start_;
  std::vector<float> piece_;
};

}  // namespace

Result<ParameterReader> CoordinatorWork::start_of(const JobSpec& job) const {
  if (job.start.empty()) return ParameterReader();
  if (config_.start) return config_.start(job);
  return unexpected(ErrorCode::kUnsupported,
                    "model.start = \"" + job.start + "\": this process holds no models to start from; remove it");
}

// Shard by shard: a model never lies in memory as a whole.
Result<WorkValue> CoordinatorWork::run(const InitModel& work, BlobStore& blobs) {
  const ParameterTable table = parameter_table(work.job.model);
  COVEY_TRY(const ParameterReader start, start_of(work.job));
  InitialWriter initial(work.job, start);
  ModelManifest manifest{work.job.model, 0, {}};
  std::size_t next = 0;
  for (std::uint32_t shard = 0; shard < table.shards.size(); ++shard) {
    COVEY_TRY(const auto writer, blobs.writer());
    for (; next < table.parameters.size() && table.parameters[next].shard == shard; ++next)
      COVEY_TRY_VOID(initial.write(table.parameters[next], *writer));
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

std::uint64_t CoordinatorWork::free_bytes() const {
  const std::uint64_t taken = held_bytes() + lent_;
  return config_.memory_bytes_max - std::min(taken, config_.memory_bytes_max);
}

// With little memory fewer threads work, on smaller pieces; the bits do not depend on it.
Result<CoordinatorWork::Loan> CoordinatorWork::borrow(const RoundKey& key, std::size_t updates) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t least = robust_bytes_min(updates), free = free_bytes();
  if (free < least)
    return unexpected(ErrorCode::kResourceExhausted,
                      to_text(key) + ": combining " + std::to_string(updates) + " updates takes at least " + std::to_string(least) +
                          " bytes and " + std::to_string(held_bytes() + lent_) + " are taken; --memory allows " +
                          std::to_string(config_.memory_bytes_max));
  Loan loan;
  loan.ranges = static_cast<std::size_t>(std::min<std::uint64_t>(config_.threads, free / least));
  loan.each = std::min(robust_bytes_wanted(updates), free / loan.ranges);
  lent_ += loan.ranges * loan.each;
  return loan;
}

void CoordinatorWork::give_back(const Loan& loan) {
  const std::lock_guard lock(mutex_);
  lent_ -= loan.ranges * loan.each;
}

Result<CoordinatorWork::Sum> CoordinatorWork::sum_for(const CheckUpdate& work) {
  const RoundKey& key = work.sum->key;
  const std::lock_guard lock(mutex_);
  if (const auto at = dropped_.find(key.job); at != dropped_.end() && key <= at->second)
    return unexpected(ErrorCode::kUnavailable, to_text(key) + " is over");
  if (const auto at = sums_.find(key); at != sums_.end()) return at->second;
  const std::uint64_t bytes = RoundSum::memory_bytes(work.parameters);
  if (bytes > free_bytes())
    return unexpected(ErrorCode::kResourceExhausted,
                      to_text(key) + ": the sum of its updates takes " + std::to_string(bytes) + " bytes and " +
                          std::to_string(held_bytes() + lent_) + " are taken; --memory allows " + std::to_string(config_.memory_bytes_max));
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
  AggregateParts parts{.blobs = blobs, .share = nullptr};
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
  if (work.job.server.combine == CombineKind::kMean || work.contributions.empty()) {
    COVEY_TRY(Aggregated aggregated, aggregate(work, parts));
    return WorkValue(std::move(aggregated));
  }
  COVEY_TRY(const Loan loan, borrow(work.key, work.contributions.size()));
  const std::unique_ptr<const Loan, std::function<void(const Loan*)>> until_done(&loan, [this](const Loan* lent) { give_back(*lent); });
  if (loan.ranges < config_.threads) parts.ranges = loan.ranges;  // shared by no more threads than ranges
  parts.robust_bytes_max = loan.each;
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

Result<WorkValue> CoordinatorWork::run(const RotateKey& work, BlobStore&) {
  if (!config_.keys) return unexpected(ErrorCode::kUnsupported, "this process keeps no keys that could be changed");
  COVEY_TRY(const KeyRotated rotated, config_.keys(work));
  return WorkValue(rotated);
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
