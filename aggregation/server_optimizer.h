// One step of the server's optimizer on the mean update of a round.
// Reddi et al. 2021, "Adaptive Federated Optimization", algorithm 2; FedAvgM: Hsu et al. 2019.
// Ours is the gradient's sign: delta = global - local, so that a step is subtracted.
#pragma once
#include <span>
#include <vector>

#include "core/protocol/job_spec.h"

namespace covey {

// The optimizer's state for a range of elements. f32 as stored; every step computes in f64.
class ServerOptimizer {
 public:
  explicit ServerOptimizer(const ServerSpec& spec);

  // Values per parameter that outlive a round: fedavg 0, fedavgm 1 (momentum), fedadam and
  // fedyogi 2 (m, then v).
  std::size_t slots() const;
  // What slot `slot` holds before the first round: 0, but tau^2 for v.
  float initial(std::size_t slot) const;

  // parameters -= step(delta), in place. `state[slot]` spans the same elements as `parameters`.
  // fedavg with learning_rate 1 gives exactly f32(global - mean), the weighted mean model.
  void step(std::span<float> parameters, std::span<const double> delta,
            std::span<const std::span<float>> state) const;

 private:
  ServerSpec spec_;
};

}  // namespace covey
