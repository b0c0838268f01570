// Operations on flat spans, and the scratch memory that CpuOps keeps.
#include <algorithm>
#include <cmath>

#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {

float* CpuOps::scratch(std::int64_t floats) {
  const std::size_t bytes = static_cast<std::size_t>(floats) * sizeof(float);
  if (scratch_.capacity() < bytes) {
    scratch_ = Arena(bytes);
    scratch_data_ = scratch_.take({floats}).f32();
  }
  return scratch_data_;
}

void CpuOps::swiglu(Tensor gate, Tensor up, Tensor y) {
  const std::int64_t n = check_flat(gate, up, y);
  kernels_.swiglu(gate.f32(), up.f32(), y.f32(), n);
}

void CpuOps::swiglu_grad(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup) {
  const std::int64_t n = check_flat(gate, up, dy);
  COVEY_CHECK(check_flat(dgate, dup) == n);
  kernels_.swiglu_grad(gate.f32(), up.f32(), dy.f32(), dgate.f32(), dup.f32(), n);
}

void CpuOps::relu(Tensor x, Tensor y) {
  const std::int64_t n = check_flat(x, y);
  kernels_.relu(x.f32(), y.f32(), n);
}

void CpuOps::relu_grad(Tensor y, Tensor dy, Tensor dx) {
  const std::int64_t n = check_flat(y, dy, dx);
  kernels_.relu_grad(y.f32(), dy.f32(), dx.f32(), n);
}

void CpuOps::add(Tensor a, Tensor b, Tensor y) {
  const std::int64_t n = check_flat(a, b, y);
  kernels_.add(a.f32(), b.f32(), y.f32(), n);
}

void CpuOps::fill(Tensor y, float value) { std::fill_n(y.f32(), check_flat(y), value); }

double CpuOps::squared_norm(Tensor x) {
  const std::int64_t n = check_flat(x);
  return kernels_.squared_norm(x.f32(), n);
}

void CpuOps::scale(Tensor x, float factor) {
  const std::int64_t n = check_flat(x);
  kernels_.scale(x.f32(), factor, n);
}

void CpuOps::sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step) {
  const std::int64_t n = check_sgd(p, g, velocity, step);
  if (step.momentum == 0) {
    kernels_.sgd(p.f32(), g.f32(), step.learning_rate, step.weight_decay, n);
  } else {
    kernels_.sgd_momentum(p.f32(), g.f32(), velocity.f32(), step.learning_rate, step.weight_decay,
                          step.first ? 0.0F : step.momentum, n);
  }
}

void CpuOps::adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step) {
  const std::int64_t n = check_adamw(p, g, m, v, step);
  const double steps = static_cast<double>(step.step), rate = step.learning_rate;
  const double correction1 = 1.0 - std::pow(double{step.beta1}, steps);
  const double correction2 = 1.0 - std::pow(double{step.beta2}, steps);
  kernels_.adamw(p.f32(), g.f32(), m.f32(), v.f32(),
                 {.keep = static_cast<float>(1.0 - rate * step.weight_decay),
                  .beta1 = step.beta1,
                  .beta2 = step.beta2,
                  .step_size = static_cast<float>(rate / correction1),
                  .root_correction = static_cast<float>(1.0 / std::sqrt(correction2)),
                  .epsilon = step.epsilon},
                 n);
}

std::unique_ptr<Ops> make_cpu_ops() { return std::make_unique<CpuOps>(*cpu::usable_kernels().sets[0]); }

}  // namespace covey
