// Bounds one client's contribution: scales an update to L2 norm at most `bound`.
// McMahan et al. 2018 (DP-FedAvg), algorithm 1.
#pragma once
#include <span>

#include "core/base/result.h"

namespace covey {

// L2 norm, f64 accumulation in the order of the elements.
// Errors: kInvalidUpdate naming the first element that is NaN or infinite.
Result<double> finite_norm(std::span<const float> update);

struct Clipping {
  double norm_before = 0;  // L2
  double factor = 1;       // min(1, bound / norm_before): what every element was multiplied by
  bool operator==(const Clipping&) const = default;
};

// In place. Products are rounded to f32 towards zero, so that rounding cannot lift the norm over
// the bound. `bound` > 0. Errors: those of finite_norm; the update is then as it was.
Result<Clipping> clip(std::span<float> update, double bound);

}  // namespace covey
