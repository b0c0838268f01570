// What a model's logits are worth on data with known targets.
#pragma once
#include <array>
#include <cstdint>

#include "core/tensor/tensor.h"

namespace covey {

class Calibration {
 public:
  // logits f32 [M,V], targets i32 [M], -1 where there is none.
  void add(Tensor logits, Tensor targets);
  std::int64_t targets() const { return targets_; }
  double loss() const;      // nats, mean; 0 where nothing was added, as the two below
  double accuracy() const;  // share of targets whose largest logit was theirs
  // Expected calibration error (Guo et al. 2017): how far the probability of the likeliest class is from
  // how often it is right, in 15 bins of equal width, weighted by what is in them.
  double calibration_error() const;

 private:
  struct Bin {
    double confidence = 0;
    std::int64_t count = 0, correct = 0;
  };
  std::array<Bin, 15> bins_{};
  double loss_sum_ = 0;
  std::int64_t targets_ = 0, correct_ = 0;
};

}  // namespace covey
