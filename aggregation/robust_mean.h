// Means that a minority of hostile updates cannot move far, for jobs whose coordinator sees each
// update. Every client counts the same: the number of examples is its own claim.
//
//  median            of each parameter (Yin et al. 2018); with an even number the middle two's mean.
//  trimmed_mean      of each parameter, without its floor(trim * n) least and greatest values (ibid.).
//  norm_filter       the mean of the updates whose L2 norm is at most norm_factor times the median norm.
//  geometric_median  the point with the least sum of distances to all updates, by smoothed Weiszfeld
//                    steps (Pillutla et al. 2022, RFA, algorithm 2): at most 20 passes over the updates.
//
// Below half of the updates hostile, the first and the last stay within a bounded distance of the
// honest ones; trimmed_mean does below a share of `trim`.
#pragma once
#include <span>
#include <vector>

#include "core/base/blob_store.h"
#include "core/protocol/machine.h"

namespace covey {

// Memory of one call of RobustMean::range, or of create, over so many updates: what makes it fast (16 MiB, or
// the least where that is more), and the least with which it works (4 KiB an update).
std::uint64_t robust_bytes_wanted(std::size_t updates);
std::uint64_t robust_bytes_min(std::size_t updates);

class RobustMean {
 public:
  // Reads each update once for norm_filter, once a pass for geometric_median, not at all for the others.
  // `contributions` and `blobs` outlive this; updates have `parameters` f32. spec.combine is not kMean.
  // `bytes_max`: of each call's memory; taken for the least where it is less.
  // Errors: kInvalidArgument without an update; kInvalidUpdate naming one of another size or with an
  // element that is not finite; kNotFound, kCorrupted from the blobs.
  static Result<RobustMean> create(const ServerSpec& spec, std::span<const Contribution> contributions,
                                   std::uint64_t parameters, BlobStore& blobs,
                                   std::uint64_t bytes_max = ~std::uint64_t{0});

  // Elements [first, first + mean.size()). The same bits whatever the ranges and threads; thread-safe
  // where `blobs` is. Errors: as create.
  Result<void> range(std::uint64_t first, std::span<double> mean) const;

  // What each update counts, summing up to 1; for median and trimmed_mean, which have no such weights,
  // empty.
  const std::vector<double>& weights() const { return weights_; }

 private:
  RobustMean(const ServerSpec& spec, std::span<const Contribution> contributions, std::uint64_t parameters, BlobStore& blobs);
  template <class Visit>
  Result<void> each_block(std::uint64_t first, std::uint64_t count, Visit visit) const;
  Result<void> filter_norms();
  Result<void> find_geometric_median();
  Result<std::vector<double>> distances() const;

  ServerSpec spec_;
  std::span<const Contribution> contributions_;
  std::uint64_t parameters_;
  BlobStore* blobs_;
  std::size_t block_ = 0;  // elements read at once
  std::vector<double> weights_;
  std::vector<std::pair<std::uint32_t, std::uint32_t>> network_;  // comparators that sort n values
};

// Batcher's odd-even merge sort for any number of values (Knuth, TAOCP 3, 5.2.2 M): comparators (i, j),
// i < j, in order; exchanging where value i > value j sorts ascending.
std::vector<std::pair<std::uint32_t, std::uint32_t>> sorting_network(std::uint32_t values);

}  // namespace covey
