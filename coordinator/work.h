// What the coordinator's Executor computes, in production and in the simulator. Not part of the machine.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "aggregation/round_sum.h"
#include "core/base/blob_store.h"
#include "core/base/worker_pool.h"
#include "core/protocol/machine.h"
#include "core/spec/parameter_table.h"

namespace covey {

// The value of one durable row, if there is one. Errors: kCorrupted.
using RowReader = std::function<Result<std::optional<Bytes>>(std::string_view key)>;

// The values of one parameter of the model that a job starts from; nothing for one that the seed gives (an adapter's).
using ParameterReader = std::function<Result<std::optional<std::vector<float>>>(const ParameterInfo& info)>;

struct CoordinatorWorkConfig {
  std::size_t threads = 1;                  // that share one piece of work
  std::uint64_t memory_bytes_max = ~std::uint64_t{0};  // of sums, and of robust rules while they work
  RowReader rows;                           // for ReadChain, which is refused without
  std::function<Result<KeyRotated>(const RotateKey& work)> keys = {};  // for RotateKey, the same
  std::function<Result<ParameterReader>(const JobSpec& job)> start = {};  // for InitModel of a job with a start, the same
};

// Holds the sums of attempts under way, which end with the process. Thread-safe: several pieces of
// work may be computed at once.
class CoordinatorWork {
 public:
  explicit CoordinatorWork(CoordinatorWorkConfig config = {});

  // InitModel, CheckUpdate, Aggregate, DropSum, ReadChain, RotateKey, PutBlob, CheckMasked, Unmask; anything else
  // is our bug. Errors: also kResourceExhausted for a sum or a robust rule beyond the budget, kUnavailable for one
  // that a restart has lost.
  Result<WorkValue> compute(const Work& work, BlobStore& blobs);

  void forget_all();                // as a process that ends
  std::uint64_t sums_bytes() const; // held now

 private:
  using Sum = std::shared_ptr<RoundSum>;  // shared: by the table and by the work that adds to it
  Result<WorkValue> run(const InitModel& work, BlobStore& blobs);
  Result<ParameterReader> start_of(const JobSpec& job) const;
  Result<WorkValue> run(const CheckUpdate& work, BlobStore& blobs);
  Result<WorkValue> run(const Aggregate& work, BlobStore& blobs);
  Result<WorkValue> run(const DropSum& work, BlobStore& blobs);
  Result<WorkValue> run(const ReadChain& work, BlobStore& blobs);
  Result<WorkValue> run(const RotateKey& work, BlobStore& blobs);
  Result<WorkValue> run(const PutBlob& work, BlobStore& blobs);
  Result<WorkValue> run(const CheckMasked& work, BlobStore& blobs);
  Result<WorkValue> run(const Unmask& work, BlobStore& blobs);
  template <class Other>
  Result<WorkValue> run(const Other& work, BlobStore& blobs);
  Result<Sum> sum_for(const CheckUpdate& work);
  std::uint64_t held_bytes() const;
  std::uint64_t free_bytes() const;  // of memory_bytes_max; under the lock
  struct Loan {                      // for one piece of robust work
    std::size_t ranges = 1;          // at once
    std::uint64_t each = 0;          // bytes
  };
  Result<Loan> borrow(const RoundKey& key, std::size_t updates);
  void give_back(const Loan& loan);

  CoordinatorWorkConfig config_;
  mutable std::mutex mutex_;
  std::map<RoundKey, Sum> sums_;
  std::uint64_t lent_ = 0;  // bytes
  std::map<JobId, RoundKey> dropped_;  // the latest of each job: nothing at or before it is begun again
  std::unique_ptr<WorkerPool> ranges_;  // none where the calling thread is the only one
};

// One piece of work on its own, on the calling thread: for work that needs no attempt's sum.
Result<WorkValue> coordinator_work(const Work& work, BlobStore& blobs, const RowReader& rows = {});

}  // namespace covey
