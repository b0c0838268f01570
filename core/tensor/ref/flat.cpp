// Operations on flat spans: sums, norms and the optimizers' updates.
#include <algorithm>
#include <cmath>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/element.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

double RefOps::squared_norm(Tensor x) {
  check_flat(x);
  double sum = 0;
  for (const float value : x.floats()) sum += double{value} * value;
  return sum;
}

void RefOps::scale(Tensor x, float factor) {
  check_flat(x);
  for (float& value : x.floats()) value *= factor;
}

// PyTorch's SGD: v = momentum v + (g + decay p), p -= rate v; without momentum v is the gradient. With
// Nesterov's momentum p moves by the gradient + momentum v.
void RefOps::sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step) {
  const std::int64_t n = check_sgd(p, g, velocity, step);
  for (std::int64_t i = 0; i < n; ++i) {
    const double gradient =
        double{g.f32()[i]} * double{step.gradient_scale} + double{step.weight_decay} * double{p.f32()[i]};
    double move = gradient;
    if (step.momentum != 0) {
      if (!step.first) move += double{step.momentum} * double{velocity.f32()[i]};
      velocity.f32()[i] = static_cast<float>(move);
      if (step.nesterov) move = gradient + double{step.momentum} * move;
    }
    p.f32()[i] = static_cast<float>(double{p.f32()[i]} - double{step.learning_rate} * move);
  }
}

// Loshchilov and Hutter 2019, algorithm 2, with decay scaled by the learning rate as in PyTorch.
void RefOps::adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step, Tensor shadow) {
  const std::int64_t n = check_adamw(p, g, m, v, step, shadow);
  const double b1 = double{step.beta1}, b2 = double{step.beta2}, rate = double{step.learning_rate};
  const double correction1 = 1.0 - std::pow(b1, static_cast<double>(step.step));
  const double correction2 = 1.0 - std::pow(b2, static_cast<double>(step.step));
  for (std::int64_t i = 0; i < n; ++i) {
    const double gradient = double{g.f32()[i]} * double{step.gradient_scale};
    const double m1 = b1 * double{m.f32()[i]} + (1.0 - b1) * gradient;
    const double v1 = b2 * double{v.f32()[i]} + (1.0 - b2) * gradient * gradient;
    m.f32()[i] = static_cast<float>(m1);
    v.f32()[i] = static_cast<float>(v1);
    const double denominator = std::sqrt(v1 / correction2) + double{step.epsilon};
    p.f32()[i] = static_cast<float>(double{p.f32()[i]} * (1.0 - rate * double{step.weight_decay}) -
                                    rate * (m1 / correction1) / denominator);
    if (!shadow.empty()) ref::put(shadow, i, double{p.f32()[i]});
  }
}

// Chen et al. 2023, algorithm 2: the sign of a short mean moves p, a long one is kept.
void RefOps::lion(Tensor p, Tensor g, Tensor m, LionStep step) {
  const std::int64_t n = check_flat(p, g, m);
  const double b1 = double{step.beta1}, b2 = double{step.beta2}, rate = double{step.learning_rate};
  for (std::int64_t i = 0; i < n; ++i) {
    const double gradient = double{g.f32()[i]} * double{step.gradient_scale};
    const double way = b1 * double{m.f32()[i]} + (1.0 - b1) * gradient;
    const double sign = way > 0 ? 1.0 : way < 0 ? -1.0 : way;  // NaN stays
    m.f32()[i] = static_cast<float>(b2 * double{m.f32()[i]} + (1.0 - b2) * gradient);
    p.f32()[i] = static_cast<float>(double{p.f32()[i]} * (1.0 - rate * double{step.weight_decay}) - rate * sign);
  }
}

std::unique_ptr<Ops> make_ref_ops() { return std::make_unique<RefOps>(); }

}  // namespace covey
