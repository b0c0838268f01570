// Optimizers and sums over flat spans of parameters.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {
namespace {

constexpr std::int64_t kPiece = 65'536;  // parameters; sums over pieces are added in their order

}  // namespace

void CpuOps::fill(Tensor y, float value) {
  const std::int64_t n = check_reals(y);
  if (y.dtype == DType::kF32) {
    const bool zero = std::bit_cast<std::uint32_t>(value) == 0;  // for which there is a way that does not read first
    return cpu::share(team_, n, kPiece, [&](std::int64_t at, std::int64_t count, int) {
      if (zero)
        std::memset(y.f32() + at, 0, static_cast<std::size_t>(count) * sizeof(float));
      else
        std::fill_n(y.f32() + at, count, value);
    });
  }
  cpu::with_type(y.dtype, [&]<class T>(T) {
    T rounded{};
    cpu::typed<T>(kernels_).from_f32(&value, &rounded, 1);
    std::fill_n(y.as<T>(), n, rounded);
  });
}

double CpuOps::squared_norm(Tensor x) {
  const std::int64_t n = check_flat(x), pieces = (n + kPiece - 1) / kPiece;
  auto* sums = reinterpret_cast<double*>(scratch(2 * pieces));
  cpu::share(team_, n, kPiece, [&](std::int64_t at, std::int64_t count, int) {
    sums[at / kPiece] = kernels_.squared_norm(x.f32() + at, count);
  });
  double sum = 0;
  for (std::int64_t i = 0; i < pieces; ++i) sum += sums[i];
  return sum;
}

void CpuOps::scale(Tensor x, float factor) {
  const std::int64_t n = check_flat(x);
  cpu::share(team_, n, kPiece,
             [&](std::int64_t at, std::int64_t count, int) { kernels_.scale(x.f32() + at, factor, count); });
}

void CpuOps::sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step) {
  const std::int64_t n = check_sgd(p, g, velocity, step);
  const cpu::SgdCoefficients c{step.learning_rate, step.weight_decay, step.momentum,
                               step.gradient_scale, step.first,       step.nesterov};
  cpu::share(team_, n, kPiece, [&](std::int64_t at, std::int64_t count, int) {
    if (step.momentum == 0)
      kernels_.sgd(p.f32() + at, g.f32() + at, c, count);
    else
      kernels_.sgd_momentum(p.f32() + at, g.f32() + at, velocity.f32() + at, c, count);
  });
}

void CpuOps::adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step, Tensor shadow) {
  const std::int64_t n = check_adamw(p, g, m, v, step, shadow);
  const double steps = static_cast<double>(step.step), rate = step.learning_rate;
  const double correction1 = 1.0 - std::pow(double{step.beta1}, steps);
  const double correction2 = 1.0 - std::pow(double{step.beta2}, steps);
  const cpu::AdamWCoefficients c{.keep = static_cast<float>(1.0 - rate * step.weight_decay),
                                 .beta1 = step.beta1,
                                 .beta2 = step.beta2,
                                 .step_size = static_cast<float>(rate / correction1),
                                 .root_correction = static_cast<float>(1.0 / std::sqrt(correction2)),
                                 .epsilon = step.epsilon,
                                 .scale = step.gradient_scale};
  cpu::share(team_, n, kPiece, [&](std::int64_t at, std::int64_t count, int) {
    kernels_.adamw({p.f32() + at, g.f32() + at, m.f32() + at, v.f32() + at,
                    shadow.empty() ? nullptr : shadow.as<Bf16>() + at},
                   c, count);
  });
}

void CpuOps::lion(Tensor p, Tensor g, Tensor m, LionStep step) {
  const std::int64_t n = check_flat(p, g, m);
  const cpu::LionCoefficients c{
      static_cast<float>(1.0 - double{step.learning_rate} * step.weight_decay), step.learning_rate, step.beta1,
      step.beta2, step.gradient_scale};
  cpu::share(team_, n, kPiece, [&](std::int64_t at, std::int64_t count, int) {
    kernels_.lion(p.f32() + at, g.f32() + at, m.f32() + at, c, count);
  });
}

}  // namespace covey
