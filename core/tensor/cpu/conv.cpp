#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {

void CpuOps::conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) {
  const ConvSize size = check_conv2d(x, w, b, y, geometry);
  if (size.batch == 0) return;
  conv_.forward(size, x.f32(), w.f32(), b.empty() ? nullptr : b.f32(), y.f32());
}

void CpuOps::conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) {
  const ConvSize size = check_conv2d(dx, w, {}, dy, geometry);
  if (size.batch == 0) return;
  conv_.grad_input(size, dy.f32(), w.f32(), dx.f32());
}

void CpuOps::conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db, ConvGeometry geometry) {
  const ConvSize size = check_conv2d(x, dw, db, dy, geometry);
  if (size.batch == 0) return;
  float* fresh = scratch(dw.elements() + size.out);
  conv_.grad_weight(size, dy.f32(), x.f32(), fresh, fresh + dw.elements());
  kernels_.f32.add(dw.f32(), fresh, dw.f32(), dw.elements());
  if (!db.empty()) kernels_.f32.add(db.f32(), fresh + dw.elements(), db.f32(), size.out);
}

}  // namespace covey
