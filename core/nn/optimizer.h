// Local optimizers over the flat buffers, with the job's schedule and gradient clipping.
#pragma once
#include <memory>
#include <span>

#include "core/spec/train_spec.h"
#include "core/tensor/ops.h"

namespace covey {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // One step: clips the gradient if the spec says so, then updates. `progress` in [0, 1] of the
  // whole job, for the schedule. Returns the gradient's L2 norm before clipping.
  virtual double step(std::span<float> parameters, std::span<float> gradients, double progress) = 0;
  virtual void reset() = 0;  // forget momenta: a new client or round starts fresh
};

// `ops` outlives the optimizer.
std::unique_ptr<Optimizer> make_optimizer(const TrainSpec& spec, std::size_t size, Ops& ops);

}  // namespace covey
