#include "core/tensor/cpu/amx.h"
#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {
namespace {

// Where oneDNN has no quick convolution of the type, it is done in f32.
bool widens(Tensor x) { return x.dtype == DType::kF16 || (x.dtype == DType::kBf16 && !cpu::amx_usable()); }

}  // namespace

// The weight as products of bf16 activations see it, where they are computed in f32.
Tensor CpuOps::conv_weight(Tensor w, DType activations, float* room) {
  if (activations != DType::kBf16) return w;
  const std::int64_t n = w.elements();
  auto* rounded = reinterpret_cast<Bf16*>(room + n);
  kernels_.bf16.from_f32(w.f32(), rounded, n);
  kernels_.bf16.to_f32(rounded, room, n);
  return {room, w.shape, DType::kF32, Device::kCpu};
}

void CpuOps::conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) {
  const ConvSize size = check_conv2d(x, w, b, y, geometry);
  if (size.batch == 0) return;
  if (widens(x)) {
    float* room = scratch(x.elements() + y.elements() + 2 * w.elements());
    const Tensor wide{room + x.elements(), y.shape, DType::kF32, Device::kCpu};
    conv2d(widened(x, room), conv_weight(w, x.dtype, room + x.elements() + y.elements()), b, wide, geometry);
    return convert(wide, y);
  }
  if (conv_tiles_.serve(size)) return conv_tiles_.forward(size, x, w.f32(), b.empty() ? nullptr : b.f32(), y);
  conv_.forward(size, x.dtype, x.data, w.f32(), b.empty() ? nullptr : b.f32(), y.data);
}

void CpuOps::conv2d_pool(Tensor x, Tensor w, Tensor b, Tensor conv, Tensor y, Tensor argmax, ConvGeometry geometry) {
  const ConvSize size = check_conv2d(x, w, b, conv, geometry);
  check_maxpool2(conv, y, argmax);
  if (size.batch == 0) return;
  if (widens(x) || !conv_tiles_.serve(size)) return Ops::conv2d_pool(x, w, b, conv, y, argmax, geometry);
  conv_tiles_.forward_pooled(size, x, w.f32(), b.empty() ? nullptr : b.f32(), {y, argmax});
}

bool CpuOps::pools_by_tiles(const ConvPoolGrad& grad) const {
  const ConvSize size = check_conv2d(grad.x, grad.w, grad.db, grad.conv, grad.geometry);
  check_maxpool2(grad.conv, grad.dy, grad.argmax);
  COVEY_CHECK(grad.y.shape == grad.dy.shape && grad.y.dtype == grad.dy.dtype && grad.x.dtype == grad.dy.dtype);
  return size.batch > 0 && !widens(grad.x) && conv_tiles_.serve(size) && (grad.dx.empty() || conv_tiles_.serve_grad_input(size));
}

void CpuOps::conv2d_pool_grad(const ConvPoolGrad& grad) {
  if (!pools_by_tiles(grad)) return Ops::conv2d_pool_grad(grad);
  const ConvSize size = check_conv2d(grad.x, grad.w, grad.db, grad.conv, grad.geometry);
  const cpu::ConvTiles::Gradient dy{grad.dy, grad.y, grad.argmax};
  if (!grad.dw.empty()) conv_tiles_.grad_weight(size, dy, grad.x, grad.dw.f32(), grad.db.empty() ? nullptr : grad.db.f32());
  if (!grad.dx.empty()) conv_tiles_.grad_input(size, dy, grad.w.f32(), grad.dx);
}

void CpuOps::conv2d_pool_example_grads(const ConvPoolGrad& grad, Tensor kept, Tensor squares) {
  if (!pools_by_tiles(grad)) return Ops::conv2d_pool_example_grads(grad, kept, squares);
  const ConvSize size = check_conv2d(grad.x, grad.w, grad.db, grad.conv, grad.geometry);
  COVEY_CHECK(kept.elements() == size.batch * conv_example_floats(grad.w.shape) && squares.elements() == size.batch);
  const cpu::ConvTiles::Gradient dy{grad.dy, grad.y, grad.argmax};
  conv_tiles_.example_grads(size, dy, grad.x, {kept.f32(), squares.f32(), grad.db.empty() ? Bias::kNone : Bias::kCounts});
  if (!grad.dx.empty()) conv_tiles_.grad_input(size, dy, grad.w.f32(), grad.dx);
}

void CpuOps::add_conv_examples(const ConvPoolGrad& grad, Tensor kept, Tensor factors) {
  if (!pools_by_tiles(grad)) return Ops::add_conv_examples(grad, kept, factors);
  const ConvSize size = check_conv2d(grad.x, grad.w, grad.db, grad.conv, grad.geometry);
  COVEY_CHECK(kept.elements() == size.batch * conv_example_floats(grad.w.shape) && factors.elements() == size.batch);
  conv_tiles_.add_examples(size, grad.x.dtype, {kept.f32(), factors.f32()}, grad.dw.f32(),
                           grad.db.empty() ? nullptr : grad.db.f32());
}

void CpuOps::conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) {
  const ConvSize size = check_conv2d(dx, w, {}, dy, geometry);
  if (size.batch == 0) return;
  if (widens(dy)) {
    float* room = scratch(dx.elements() + dy.elements() + 2 * w.elements());
    const Tensor wide{room + dy.elements(), dx.shape, DType::kF32, Device::kCpu};
    conv2d_grad_input(widened(dy, room), conv_weight(w, dy.dtype, room + dx.elements() + dy.elements()), wide, geometry);
    return convert(wide, dx);
  }
  if (conv_tiles_.serve_grad_input(size)) return conv_tiles_.grad_input(size, {dy}, w.f32(), dx);
  conv_.grad_input(size, dy.dtype, dy.data, w.f32(), dx.data);
}

void CpuOps::conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db, ConvGeometry geometry) {
  const ConvSize size = check_conv2d(x, dw, db, dy, geometry);
  if (size.batch == 0) return;
  const bool wide = widens(x);
  float* fresh = scratch(dw.elements() + size.out + (wide ? x.elements() + dy.elements() : 0));
  if (wide) {
    float* room = fresh + dw.elements() + size.out;
    x = widened(x, room);
    dy = widened(dy, room + x.elements());
  }
  if (conv_tiles_.serve(size))
    return conv_tiles_.grad_weight(size, {dy}, x, dw.f32(), db.empty() ? nullptr : db.f32());
  conv_.grad_weight(size, x.dtype, dy.data, x.data, fresh, fresh + dw.elements());
  kernels_.f32.add(dw.f32(), fresh, dw.f32(), dw.elements());
  if (!db.empty()) kernels_.f32.add(db.f32(), fresh + dw.elements(), db.f32(), size.out);
}

}  // namespace covey
