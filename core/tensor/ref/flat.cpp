// Operations on flat spans: sums, norms and the optimizers' updates.
#include <algorithm>
#include <cmath>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

void RefOps::add(Tensor a, Tensor b, Tensor y) {
  const std::int64_t n = check_flat(a, b, y);
  for (std::int64_t i = 0; i < n; ++i) y.f32()[i] = a.f32()[i] + b.f32()[i];
}

void RefOps::fill(Tensor y, float value) { std::fill_n(y.f32(), check_flat(y), value); }

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

// PyTorch's SGD: v = momentum v + (g + decay p), p -= rate v; without momentum v is the gradient.
void RefOps::sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step) {
  const std::int64_t n = check_sgd(p, g, velocity, step);
  for (std::int64_t i = 0; i < n; ++i) {
    double move = g.f32()[i] + double{step.weight_decay} * p.f32()[i];
    if (step.momentum != 0) {
      if (!step.first) move += double{step.momentum} * velocity.f32()[i];
      velocity.f32()[i] = static_cast<float>(move);
    }
    p.f32()[i] = static_cast<float>(p.f32()[i] - step.learning_rate * move);
  }
}

// Loshchilov and Hutter 2019, algorithm 2, with decay scaled by the learning rate as in PyTorch.
void RefOps::adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step) {
  const std::int64_t n = check_adamw(p, g, m, v, step);
  const double b1 = step.beta1, b2 = step.beta2, rate = step.learning_rate;
  const double correction1 = 1.0 - std::pow(b1, static_cast<double>(step.step));
  const double correction2 = 1.0 - std::pow(b2, static_cast<double>(step.step));
  for (std::int64_t i = 0; i < n; ++i) {
    const double gradient = g.f32()[i];
    const double m1 = b1 * m.f32()[i] + (1.0 - b1) * gradient;
    const double v1 = b2 * v.f32()[i] + (1.0 - b2) * gradient * gradient;
    m.f32()[i] = static_cast<float>(m1);
    v.f32()[i] = static_cast<float>(v1);
    const double denominator = std::sqrt(v1 / correction2) + step.epsilon;
    p.f32()[i] = static_cast<float>(p.f32()[i] * (1.0 - rate * step.weight_decay) -
                                    rate * (m1 / correction1) / denominator);
  }
}

std::unique_ptr<Ops> make_ref_ops() { return std::make_unique<RefOps>(); }

}  // namespace covey
