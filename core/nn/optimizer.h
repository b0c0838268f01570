// Local optimizers over the flat buffers, with the job's schedule and gradient clipping.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/spec/parameter_table.h"
#include "core/spec/train_spec.h"
#include "core/tensor/ops.h"

namespace covey {

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // One step over all parameters and the gradients of those that are trained. `progress` in [0, 1] of
  // the whole job, for the schedule; gradients count times `gradient_scale`. Returns the gradient's L2
  // norm before clipping; where that is not finite, nothing was changed. `squares`: the sum of the gradients'
  // squares, where the caller has it (Model::gradient_squares()).
  virtual double step(std::span<float> parameters, std::span<const float> gradients, double progress,
                      double gradient_scale, std::optional<double> squares) = 0;
  double step(std::span<float> parameters, std::span<const float> gradients, double progress, double gradient_scale) {
    return step(parameters, gradients, progress, gradient_scale, std::nullopt);
  }
  double step(std::span<float> parameters, std::span<const float> gradients, double progress) {
    return step(parameters, gradients, progress, 1);
  }
  virtual void reset() = 0;  // forget momenta: a new client or round starts fresh
};

// `ops` outlives the optimizer. Muon moves the matrices of the table that are neither embedding nor head
// nor a classifier's last layer, and AdamW all else.
std::unique_ptr<Optimizer> make_optimizer(const TrainSpec& spec, const ParameterTable& table,
                                          const std::vector<ParameterRange>& trained, Ops& ops);
// The same where `parameters` has the ranges `held` alone, one behind the other; `trained` lies within them.
std::unique_ptr<Optimizer> make_optimizer(const TrainSpec& spec, const ParameterTable& table,
                                          const std::vector<ParameterRange>& held,
                                          const std::vector<ParameterRange>& trained, Ops& ops);
// Of `size` parameters, all trained and of no shape: any optimizer but Muon.
std::unique_ptr<Optimizer> make_optimizer(const TrainSpec& spec, std::size_t size, Ops& ops);

// Scales the loss in fp16, so that small gradients do not vanish (Micikevicius et al. 2018): down when
// the gradient overflowed, up after many steps in which it did not.
class LossScaler {
 public:
  double scale() const { return scale_; }
  // After each step; `norm` is what Optimizer::step returned. False: nothing was moved; compute the same
  // step again, or leave it out.
  bool update(double norm);
  // Whether it has come down so far that no scale helps.
  bool exhausted() const { return scale_ < 1.0 / 16384; }

 private:
  double scale_ = 65'536;
  int good_steps_ = 0;
};

}  // namespace covey
