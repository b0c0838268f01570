// Which examples a client's local steps see, in which order.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

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
  std::span<const std::uint32_t> next();  // valid until the next call

 private:
  Indices order_;
  std::size_t batch_size_;
  Random random_;
  std::size_t position_ = 0;
};

}  // namespace covey
