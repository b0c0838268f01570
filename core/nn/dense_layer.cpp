#include "core/nn/dense_layer.h"

#include "core/nn/example_book.h"

namespace covey {

DenseLayer::DenseLayer(Parameter weight, Parameter bias, Activation activation,
                       InputGradient input_gradient)
    : weight_(weight), bias_(bias), activation_(activation), input_gradient_(input_gradient) {}

void DenseLayer::plan(const Plan& plan) {
  y_ = plan.activation({plan.largest.batch, outputs()});
  if (plan.book != nullptr && trained()) plan.book->want_gradient(y_.elements(), plan.activations);
  if (input_gradient_ == InputGradient::kSkip) return;
  plan.workspace.want(Slot::kFlow0, plan.largest.batch * inputs());
  plan.workspace.want(Slot::kFlow1, plan.largest.batch * inputs());
}

Tensor DenseLayer::forward(const Pass& pass, Tensor x) {
  x_ = x.reshaped({pass.extent.batch, inputs()});
  const Tensor y = cut(y_, {pass.extent.batch, outputs()});
  pass.ops.linear(x_, weight_.value, bias_.value, y);
  if (activation_ == Activation::kRelu) pass.ops.relu(y, y);
  return y;
}

Tensor DenseLayer::backward(const Pass& pass, Tensor dy) {
  dy = dy.reshaped({pass.extent.batch, outputs()});
  if (activation_ == Activation::kRelu) pass.ops.relu_grad(cut(y_, dy.shape), dy, dy);
  if (trained() && pass.set_squares == nullptr)
    add_linear_gradient(pass, dy, x_, weight_, bias_);
  else if (trained() && pass.book != nullptr)
    pass.book->first_linear(dy, x_, weight_.gradient, bias_.gradient);
  else if (trained())
    *pass.set_squares += pass.ops.linear_first_grad_weight(dy, x_, weight_.gradient, bias_.gradient);
  if (input_gradient_ == InputGradient::kSkip) return {};
  const Tensor dx = pass.workspace.other_flow(dy, x_.shape);
  pass.ops.linear_grad_input(dy, weight_.value, dx);
  return dx;
}

}  // namespace covey
