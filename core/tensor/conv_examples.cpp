// Each image's gradient of a convolution's weight, by the operations that every implementation has.
#include <algorithm>

#include "core/tensor/op_shapes.h"

namespace covey {
namespace {

std::int64_t rounded_up(std::int64_t n, std::int64_t by) { return (n + by - 1) / by * by; }

// Of the images in x, that one.
Tensor image_of(Tensor x, std::int64_t image) {
  const Shape shape{1, x.dim(1), x.dim(2), x.dim(3)};
  auto* data = static_cast<std::byte*>(x.data) + static_cast<std::size_t>(image * shape.elements()) * size_of(x.dtype);
  return {data, shape, x.dtype, x.device};
}

// All weights' gradients, then all biases'.
struct Kept {
  Tensor weights, biases;  // [B, elements of each]
};
Kept parts_of(const Ops::ConvPoolGrad& grad, Tensor kept) {
  const std::int64_t images = grad.x.dim(0), elements = grad.w.elements(), outputs = grad.w.dim(0);
  COVEY_CHECK(kept.dtype == DType::kF32 && kept.elements() == images * conv_example_floats(grad.w.shape));
  return {{kept.f32(), {images, elements}, DType::kF32, kept.device},
          {kept.f32() + images * elements, {images, outputs}, DType::kF32, kept.device}};
}
Tensor row_of(Tensor x, std::int64_t row, Shape shape) {
  return {x.f32() + row * x.dim(1), shape, DType::kF32, x.device};
}

}  // namespace

// Whole tiles of 32 outputs by 32 planes for each tap, or of few planes by 32 planes and taps; and the bias.
std::int64_t conv_example_floats(Shape weight) {
  const std::int64_t planes = weight[1], taps = weight[2] * weight[3];
  const std::int64_t inputs = few_planes(planes, taps) ? rounded_up(planes * taps, 32) : taps * rounded_up(planes, 32);
  return rounded_up(weight[0], 32) * (inputs + 1);
}

void Ops::conv2d_pool_example_grads(const ConvPoolGrad& grad, Tensor kept, Tensor squares) {
  const Kept parts = parts_of(grad, kept);
  relu_grad(grad.y, grad.dy, grad.dy);
  maxpool2_grad(grad.dy, grad.argmax, grad.conv);
  fill(parts.weights.reshaped({parts.weights.elements()}), 0);
  fill(parts.biases.reshaped({parts.biases.elements()}), 0);
  const Shape bias{grad.w.dim(0)};
  for (std::int64_t i = 0; i < grad.x.dim(0); ++i)
    conv2d_grad_weight(image_of(grad.conv, i), image_of(grad.x, i), row_of(parts.weights, i, grad.w.shape),
                       grad.db.empty() ? Tensor{} : row_of(parts.biases, i, bias), grad.geometry);
  example_squares(parts.weights, squares);
  if (!grad.db.empty()) example_squares(parts.biases, squares);
  if (!grad.dx.empty()) conv2d_grad_input(grad.conv, grad.w, grad.dx, grad.geometry);
}

void Ops::add_conv_examples(const ConvPoolGrad& grad, Tensor kept, Tensor factors) {
  const Kept parts = parts_of(grad, kept);
  const Tensor rows = factors.reshaped({factors.elements(), 1});
  linear_grad_weight(rows, parts.weights, grad.dw.reshaped({1, grad.dw.elements()}), {});
  if (!grad.db.empty()) linear_grad_weight(rows, parts.biases, grad.db.reshaped({1, grad.db.elements()}), {});
}

}  // namespace covey
