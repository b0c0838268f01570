// Which examples a client's local steps see, in which order.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "client/adaptive_batch.h"
#include "core/base/random.h"
#include "core/data/dataset.h"
#include "core/spec/train_spec.h"

namespace covey {

// Local steps of one round over `examples` > 0 training examples.
std::uint64_t local_step_count(const TrainSpec& spec, std::uint64_t examples);

// Passes over the examples, shuffled anew for each. A pass ends with a smaller batch where the
// batch size does not divide it, so that every example counts once a pass.
class BatchOrder {
 public:
  BatchOrder(const Indices& examples, std::uint32_t batch_size, Random random);  // examples not empty
  std::span<const std::uint32_t> next() { return next(batch_size_); }  // valid until the next call
  std::span<const std::uint32_t> next(std::size_t batch_size);

 private:
  Indices order_;
  std::size_t batch_size_;
  Random random_;
  std::size_t position_ = 0;
};

// A round's local steps: what each sees, and where in the round it lies. Where the batch adapts, the round
// has as many examples as its passes, or as local_steps batches of batch_size, and the steps that they
// make: how long a client computes, and on how much, then tells nothing of its data.
class LocalSteps {
 public:
  LocalSteps(const TrainSpec& spec, const Indices& examples, Random random);  // examples not empty
  // Of a stream that has so many an epoch: the caller reads wanted() of them for each step and says so by sees().
  LocalSteps(const TrainSpec& spec, std::uint64_t examples);
  bool done() const { return adaptive_ ? seen_ >= budget_ : step_ >= steps_; }
  std::uint64_t step() const { return step_; }       // from 0, of what next() gives
  std::uint64_t steps_max() const { return steps_; }  // an upper bound where the batch adapts
  // The share of the round at the middle of that step, so that a warm-up from 0 wastes none.
  double middle() const;
  std::span<const std::uint32_t> next();  // valid until the next call; of examples, not of a stream
  std::size_t wanted() const;             // at most; the end of a pass may give fewer
  void sees(std::size_t examples);
  void taken() { ++step_; }
  // Nothing where the batch does not adapt.
  AdaptiveBatch* adaptive() { return adaptive_ ? &*adaptive_ : nullptr; }

 private:
  std::optional<BatchOrder> order_;
  std::optional<AdaptiveBatch> adaptive_;
  std::uint32_t batch_size_;
  std::uint64_t steps_ = 0, step_ = 0;
  std::uint64_t budget_ = 0, seen_ = 0, of_step_ = 0;  // examples
};

}  // namespace covey
