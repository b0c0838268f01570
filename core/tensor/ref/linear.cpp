#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

void RefOps::linear(Tensor x, Tensor w, Tensor b, Tensor y) {
  const auto [m, n, k] = check_linear(x, w, b, y);
  const float *xs = x.f32(), *ws = w.f32();
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = b.empty() ? 0.0 : b.f32()[j];
      for (std::int64_t l = 0; l < k; ++l) sum += double{xs[i * k + l]} * ws[j * k + l];
      y.f32()[i * n + j] = static_cast<float>(sum);
    }
  }
}

void RefOps::linear_grad_input(Tensor dy, Tensor w, Tensor dx) {
  const auto [m, n, k] = check_linear(dx, w, {}, dy);
  const float *dys = dy.f32(), *ws = w.f32();
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t l = 0; l < k; ++l) {
      double sum = 0;
      for (std::int64_t j = 0; j < n; ++j) sum += double{dys[i * n + j]} * ws[j * k + l];
      dx.f32()[i * k + l] = static_cast<float>(sum);
    }
  }
}

void RefOps::linear_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db) {
  const auto [m, n, k] = check_linear(x, dw, db, dy);
  const float *dys = dy.f32(), *xs = x.f32();
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t l = 0; l < k; ++l) {
      double sum = dw.f32()[j * k + l];
      for (std::int64_t i = 0; i < m; ++i) sum += double{dys[i * n + j]} * xs[i * k + l];
      dw.f32()[j * k + l] = static_cast<float>(sum);
    }
    if (db.empty()) continue;
    double sum = db.f32()[j];
    for (std::int64_t i = 0; i < m; ++i) sum += dys[i * n + j];
    db.f32()[j] = static_cast<float>(sum);
  }
}

}  // namespace covey
