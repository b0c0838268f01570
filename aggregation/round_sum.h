// The sum of one attempt's updates while they come in, for jobs that keep no update
// (durability = "attempt"). 8 bytes a parameter, whatever the cohort; gone with the process.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "aggregation/fixed_sum.h"
#include "core/base/blob_store.h"
#include "core/base/striped_lock.h"
#include "core/protocol/machine.h"

namespace covey {

// Thread-safe. The sum is larger than the cache, so updates that are added at the same time go over it
// together: whoever has a turn adds the next range of every one of them, and an update has gone round when
// it began.
class RoundSum {
 public:
  RoundSum(std::size_t parameters, SumScale scale);  // parameters >= 1

  // Reads the update once, from `blobs`, where it may still be unfinished (its chunks are all written);
  // checks it as check_update does and adds it. Errors as there; the sum is then as it was before.
  // Several calls at once may read it on each other's threads.
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
  struct Adding;
  struct Hand;
  std::size_t ranges() const;
  std::size_t elements_of(std::size_t range) const;
  void join(Adding& update);
  void take_turn(std::unique_lock<std::mutex>& lock, Hand& hand);
  void add_range(Adding& update, std::size_t range, std::span<float> buffer) noexcept;
  void take_out(const Adding& update, std::span<float> buffer);

  const SumScale scale_;
  std::vector<std::int64_t> sum_;
  StripedLock locks_;         // of ranges of the sum
  mutable std::mutex mutex_;  // of what follows
  std::condition_variable turn_over_;
  std::vector<Adding*> adding_;  // whose next range is that of the next turn
  std::uint64_t turn_ = 0;       // counts on while anyone is in adding_
  std::vector<Contribution> parts_;
  std::int64_t weight_ = 0;   // of parts_ and of what is being added
  bool spoilt_ = false;
};

}  // namespace covey
