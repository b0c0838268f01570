#include <cmath>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

void RefOps::swiglu(Tensor gate, Tensor up, Tensor y) {
  const std::int64_t n = check_flat(gate, up, y);
  for (std::int64_t i = 0; i < n; ++i) {
    const double g = gate.f32()[i];
    y.f32()[i] = static_cast<float>(g / (1.0 + std::exp(-g)) * up.f32()[i]);
  }
}

void RefOps::swiglu_grad(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup) {
  const std::int64_t n = check_flat(gate, up, dy);
  COVEY_CHECK(check_flat(dgate, dup) == n);
  for (std::int64_t i = 0; i < n; ++i) {
    const double g = gate.f32()[i], u = up.f32()[i], d = dy.f32()[i];
    const double sigmoid = 1.0 / (1.0 + std::exp(-g));
    dgate.f32()[i] = static_cast<float>(d * u * sigmoid * (1.0 + g * (1.0 - sigmoid)));
    dup.f32()[i] = static_cast<float>(d * g * sigmoid);
  }
}

void RefOps::relu(Tensor x, Tensor y) {
  const std::int64_t n = check_flat(x, y);
  // Written so that NaN passes through: a diverged model must show.
  for (std::int64_t i = 0; i < n; ++i) y.f32()[i] = x.f32()[i] < 0.0F ? 0.0F : x.f32()[i];
}

void RefOps::relu_grad(Tensor y, Tensor dy, Tensor dx) {
  const std::int64_t n = check_flat(y, dy, dx);
  for (std::int64_t i = 0; i < n; ++i) dx.f32()[i] = y.f32()[i] > 0.0F ? dy.f32()[i] : 0.0F;
}

}  // namespace covey
