// Weighted mean of updates and one step of the server's optimizer, from shard to shard and 65,536
// elements at a time: memory is kAggregateRangeBytes for each range worked on at once and one chunk
// of every blob that is being written, whatever the cohort and the model; robust rules take their own besides.
#pragma once
#include <functional>
#include <span>

#include "aggregation/check_update.h"
#include "aggregation/round_sum.h"
#include "core/base/blob_store.h"
#include "core/protocol/machine.h"

namespace covey {

// At most: sums, mean and one update's values; next parameters and two slots of state.
inline constexpr std::uint64_t kAggregateRangeBytes = 3 * 1024 * 1024;

struct AggregateParts {
  BlobStore& blobs;
  // Ranges worked on at once, and who calls part(0) ... part(count - 1), in any order, on any threads
  // (WorkerPool::share); the bits do not depend on it.
  std::size_t ranges = 1;
  std::function<void(std::size_t count, const std::function<void(std::size_t)>& part)> share;
  // Where the updates were summed as they came; else they are read.
  const RoundSum* sum = nullptr;
  // Where the mean is made by another room: that of elements `first` to first + mean.size(), on any thread.
  // The work's contributions are not read then.
  std::function<Result<void>(std::uint64_t first, std::span<double> mean)> mean = nullptr;
  // Of each range that is combined by a robust rule, besides kAggregateRangeBytes.
  std::uint64_t robust_bytes_max = ~std::uint64_t{0};
};

// The same bits whatever the order of the contributions (fixed_sum.h). Errors: kInvalidUpdate
// naming the update; kNotFound, kCorrupted from the blobs.
Result<Aggregated> aggregate(const Aggregate& work, const AggregateParts& parts);
Result<Aggregated> aggregate(const Aggregate& work, BlobStore& blobs);  // on the calling thread alone

}  // namespace covey
