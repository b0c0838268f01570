// The sum of one attempt's updates while they come in, for jobs that keep no update
// (durability = "attempt"). 8 bytes a parameter, whatever the cohort; gone with the process.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "aggregation/fixed_sum.h"
#include "core/base/blob_store.h"
#include "core/base/striped_lock.h"
#include "core/protocol/machine.h"

namespace covey {

// Thread-safe: several updates may be added at once.
class RoundSum {
 public:
  RoundSum(std::size_t parameters, SumScale scale);

  // Reads the update once, from `blobs`, where it may still be unfinished (its chunks are all written);
  // checks it as check_update does and adds it. Errors as there; the sum is then as it was before.
  Result<UpdateChecked> add(const CheckUpdate& work, std::int64_t weight, BlobStore& blobs);

  // Whether exactly these are in the sum. Once an update could not be taken out again it never is.
  bool holds(std::vector<Contribution> parts) const;
  std::int64_t weight() const;

  // While nothing is being added.
  std::span<const std::int64_t> range(std::size_t first, std::size_t count) const {
    return std::span(sum_).subspan(first, count);
  }
  const SumScale& scale() const { return scale_; }
  std::size_t parameters() const { return sum_.size(); }
  static std::uint64_t memory_bytes(std::uint64_t parameters) { return parameters * sizeof(std::int64_t); }

 private:
  Result<UpdateChecked> add_reserved(const CheckUpdate& work, std::int64_t weight, BlobStore& blobs, std::size_t& added);
  void take_out(const BlobRef& update, std::size_t elements, std::int64_t weight, BlobStore& blobs);

  const SumScale scale_;
  std::vector<std::int64_t> sum_;
  StripedLock ranges_;
  mutable std::mutex mutex_;  // of what follows
  std::vector<Contribution> parts_;
  std::int64_t weight_ = 0;   // of parts_ and of what is being added
  bool spoilt_ = false;
};

}  // namespace covey
