#include <cmath>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

void RefOps::rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd) {
  const auto [m, d] = check_rmsnorm(x, g, y, rstd);
  for (std::int64_t i = 0; i < m; ++i) {
    const float* xs = x.f32() + i * d;
    double squares = 0;
    for (std::int64_t j = 0; j < d; ++j) squares += double{xs[j]} * xs[j];
    const double r = 1.0 / std::sqrt(squares / static_cast<double>(d) + 1e-5);
    rstd.f32()[i] = static_cast<float>(r);
    for (std::int64_t j = 0; j < d; ++j)
      y.f32()[i * d + j] = static_cast<float>(xs[j] * r * g.f32()[j]);
  }
}

// With u = dy * g and r = rstd: dx = r * u - x * r^3 * mean(u * x).
void RefOps::rmsnorm_grad(Tensor x, Tensor g, Tensor rstd, Tensor dy, Tensor dx, Tensor dg) {
  const auto [m, d] = check_rmsnorm(x, g, dy, rstd);
  check_flat(x, dx);
  check_flat(g, dg);
  for (std::int64_t i = 0; i < m; ++i) {
    const float *xs = x.f32() + i * d, *dys = dy.f32() + i * d;
    const double r = rstd.f32()[i];
    double dot = 0;
    for (std::int64_t j = 0; j < d; ++j) dot += double{dys[j]} * g.f32()[j] * xs[j];
    dot /= static_cast<double>(d);
    for (std::int64_t j = 0; j < d; ++j) {
      const double u = double{dys[j]} * g.f32()[j];
      dx.f32()[i * d + j] += static_cast<float>(r * u - xs[j] * r * r * r * dot);
    }
  }
  for (std::int64_t j = 0; j < d; ++j) {
    double sum = dg.f32()[j];
    for (std::int64_t i = 0; i < m; ++i)
      sum += double{dy.f32()[i * d + j]} * x.f32()[i * d + j] * rstd.f32()[i];
    dg.f32()[j] = static_cast<float>(sum);
  }
}

}  // namespace covey
