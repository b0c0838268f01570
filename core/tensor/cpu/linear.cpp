#include <algorithm>

#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/cpu/gemm.h"
#include "core/tensor/op_shapes.h"

namespace covey {

void CpuOps::linear(Tensor x, Tensor w, Tensor b, Tensor y) {
  const auto [m, n, k] = check_linear(x, w, b, y);
  if (!b.empty())
    for (std::int64_t i = 0; i < m; ++i) std::copy_n(b.f32(), n, y.f32() + i * n);
  cpu::gemm(m, n, k, {x.f32(), k, false}, {w.f32(), k, true}, b.empty() ? 0.0F : 1.0F, y.f32());
}

void CpuOps::linear_grad_input(Tensor dy, Tensor w, Tensor dx) {
  const auto [m, n, k] = check_linear(dx, w, {}, dy);
  cpu::gemm(m, k, n, {dy.f32(), n, false}, {w.f32(), k, false}, 0.0F, dx.f32());
}

void CpuOps::linear_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db) {
  const auto [m, n, k] = check_linear(x, dw, db, dy);
  if (m == 0) return;
  cpu::gemm(n, k, m, {dy.f32(), n, true}, {x.f32(), k, false}, 1.0F, dw.f32());
  if (!db.empty()) kernels_.column_sums(dy.f32(), m, n, db.f32());
}

}  // namespace covey
