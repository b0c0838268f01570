#include "core/nn/conv_block.h"

#include "core/nn/example_book.h"

namespace covey {

ConvBlock::ConvBlock(Parameter weight, Parameter bias, std::int64_t height, std::int64_t width,
                     InputGradient input_gradient)
    : weight_(weight), bias_(bias), height_(height), width_(width), input_gradient_(input_gradient) {}

Shape ConvBlock::input_shape(std::int64_t batch) const {
  return {batch, weight_.value.dim(1), height_, width_};
}
Shape ConvBlock::conv_shape(std::int64_t batch) const {
  return {batch, weight_.value.dim(0), height_, width_};
}
Shape ConvBlock::pooled_shape(std::int64_t batch) const {
  return {batch, weight_.value.dim(0), height_ / 2, width_ / 2};
}
ConvGeometry ConvBlock::geometry() const {
  const std::int64_t kernel = weight_.value.dim(2);
  return {kernel, kernel / 2};
}

void ConvBlock::plan(const Plan& plan) {
  const std::int64_t batch = plan.largest.batch;
  y_ = plan.activation(pooled_shape(batch));
  argmax_ = plan.arena.take(pooled_shape(batch), DType::kI32);
  // The convolution's output is not needed after pooling, so its memory serves its gradient too.
  plan.workspace.want(Slot::kWork0, conv_shape(batch).elements());
  if (plan.book != nullptr && trained()) plan.book->want_instances(conv_example_floats(weight_.value.shape));
  if (input_gradient_ == InputGradient::kSkip) return;
  plan.workspace.want(Slot::kFlow0, input_shape(batch).elements());
  plan.workspace.want(Slot::kFlow1, input_shape(batch).elements());
}

Tensor ConvBlock::forward(const Pass& pass, Tensor x) {
  const std::int64_t batch = pass.extent.batch;
  x_ = x.reshaped(input_shape(batch));
  const Tensor conv = pass.workspace.get(Slot::kWork0, conv_shape(batch));
  const Tensor y = cut(y_, pooled_shape(batch));
  pass.ops.conv2d_pool(x_, weight_.value, bias_.value, conv, y, cut(argmax_, y.shape), geometry());
  return y;
}

Tensor ConvBlock::backward(const Pass& pass, Tensor dy) {
  const std::int64_t batch = pass.extent.batch;
  dy = dy.reshaped(pooled_shape(batch));
  const Tensor dx = input_gradient_ == InputGradient::kSkip ? Tensor{} : pass.workspace.other_flow(dy, x_.shape);
  const Ops::ConvPoolGrad grad{x_, weight_.value, cut(y_, dy.shape), cut(argmax_, dy.shape), dy,
                               pass.workspace.get(Slot::kWork0, conv_shape(batch)),
                               weight_.gradient, bias_.gradient, dx, geometry()};
  if (pass.book != nullptr && trained())
    pass.book->conv(grad);
  else
    pass.ops.conv2d_pool_grad(grad);
  return dx;
}

}  // namespace covey
