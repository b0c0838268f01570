#include "core/nn/separable_block.h"

#include <algorithm>

#include "core/nn/example_book.h"

namespace covey {

Shape GroupNorm::groups(Tensor x) const {
  return {x.dim(0) * x.dim(1) / kChannels, kChannels * x.dim(2) * x.dim(3)};
}

Tensor GroupNorm::gain_plane() const { return gain_.value.reshaped({gain_.value.dim(0), 1, 1, 1}); }

void GroupNorm::plan(const Plan& plan, Shape x) {
  const std::int64_t width = kChannels * x[2] * x[3], rows = x[0] * x[1] / kChannels;
  ones_ = plan.arena.take({width});
  zeros_ = plan.arena.take({width});
  normed_ = plan.arena.take(x);
  mean_ = plan.arena.take({rows});
  rstd_ = plan.arena.take({rows});
  plan.workspace.want(Slot::kFloat, 2 * width);
  if (plan.book != nullptr && gain_.trained())
    for (const Parameter& parameter : {gain_, bias_}) plan.book->want_instances(parameter.value.elements());
}

void GroupNorm::forward(const Pass& pass, Tensor x, Tensor y) {
  pass.ops.fill(ones_, 1);
  const Shape g = groups(x);
  const Tensor normed = cut(normed_, x.shape);
  pass.ops.layernorm(x.reshaped(g), ones_, zeros_, normed.reshaped(g), cut(mean_, {g[0]}), cut(rstd_, {g[0]}));
  pass.ops.depthwise_conv2d(normed, gain_plane(), bias_.value, y, {1, 0});
}

void GroupNorm::backward(const Pass& pass, Tensor x, Tensor dy, Tensor dx) {
  const Shape g = groups(x), plane{gain_.value.dim(0), 1, 1, 1};
  if (gain_.trained())
    add_gradients(pass, gain_, bias_, [&](const ExamplePart& part, Tensor dgain, Tensor dbias) {
      pass.ops.depthwise_conv2d_grad_weight(part(dy), part(cut(normed_, x.shape)), dgain.reshaped(plane), dbias, {1, 0});
    });
  const Tensor dnormed = cut(normed_, x.shape);  // not needed any more
  pass.ops.depthwise_conv2d_grad_input(dy, gain_plane(), dnormed, {1, 0});
  pass.ops.fill(dx, 0);
  const Tensor sums = pass.workspace.get(Slot::kFloat, {2 * g[1]});  // of the constant gain and bias: thrown away
  const Tensor dgain = cut(sums, {g[1]});
  const Tensor dbias{sums.f32() + g[1], {g[1]}, DType::kF32, Device::kCpu};
  pass.ops.layernorm_grad(x.reshaped(g), ones_, cut(mean_, {g[0]}), cut(rstd_, {g[0]}), dnormed.reshaped(g),
                          dx.reshaped(g), dgain, dbias);
}

void NormedConv::plan(const Plan& plan, Shape y) {
  conv_ = plan.arena.take(y);
  if (plan.book != nullptr && trained())
    for (const Parameter& parameter : {weight_, bias_}) plan.book->want_instances(parameter.value.elements());
  norm_.plan(plan, y);
}

void NormedConv::forward(const Pass& pass, Tensor x, Tensor y) {
  const Tensor conv = cut(conv_, y.shape);
  if (kind_ == ConvKind::kDepthwise)
    pass.ops.depthwise_conv2d(x, weight_.value, bias_.value, conv, geometry());
  else
    pass.ops.conv2d(x, weight_.value, bias_.value, conv, geometry());
  norm_.forward(pass, conv, y);
}

void NormedConv::backward(const Pass& pass, Tensor x, Tensor dy, Tensor dconv, Tensor dx) {
  norm_.backward(pass, cut(conv_, dy.shape), dy, dconv);
  const bool depthwise = kind_ == ConvKind::kDepthwise;
  Ops& ops = pass.ops;
  if (trained())
    add_gradients(pass, weight_, bias_, [&](const ExamplePart& part, Tensor dw, Tensor db) {
      if (depthwise)
        ops.depthwise_conv2d_grad_weight(part(dconv), part(x), dw, db, geometry());
      else
        ops.conv2d_grad_weight(part(dconv), part(x), dw, db, geometry());
    });
  if (dx.empty()) return;
  if (depthwise)
    ops.depthwise_conv2d_grad_input(dconv, weight_.value, dx, geometry());
  else
    ops.conv2d_grad_input(dconv, weight_.value, dx, geometry());
}

void SeparableBlock::plan(const Plan& plan) {
  const std::int64_t batch = plan.largest.batch;
  for (std::size_t i = 0; i < stages_.size(); ++i) {
    stages_[i].plan(plan, stage_shape(i, batch));
    for (const Slot slot : {Slot::kWork0, Slot::kWork1})
      plan.workspace.want(slot, std::max(stage_shape(i, batch).elements(), input_shape(batch).elements()));
  }
  if (stages_.size() == 2) between_ = plan.arena.take(stage_shape(0, batch));
  y_ = plan.arena.take(pooled_shape(batch));
  argmax_ = plan.arena.take(pooled_shape(batch), DType::kI32);
  if (input_gradient_ == InputGradient::kSkip) return;
  plan.workspace.want(Slot::kFlow0, input_shape(batch).elements());
  plan.workspace.want(Slot::kFlow1, input_shape(batch).elements());
}

Tensor SeparableBlock::forward(const Pass& pass, Tensor x) {
  const std::int64_t batch = pass.extent.batch;
  x_ = x.reshaped(input_shape(batch));
  Tensor in = x_;
  if (stages_.size() == 2) {
    in = cut(between_, stage_shape(0, batch));
    stages_[0].forward(pass, x_, in);
    pass.ops.relu(in, in);
  }
  const Tensor last = pass.workspace.get(Slot::kWork0, stage_shape(stages_.size() - 1, batch));
  stages_.back().forward(pass, in, last);
  const Tensor y = cut(y_, pooled_shape(batch));
  pass.ops.maxpool2(last, y, cut(argmax_, y.shape));  // ReLU and max commute
  pass.ops.relu(y, y);
  return y;
}

Tensor SeparableBlock::backward(const Pass& pass, Tensor dy) {
  const std::int64_t batch = pass.extent.batch;
  dy = dy.reshaped(pooled_shape(batch));
  pass.ops.relu_grad(cut(y_, dy.shape), dy, dy);
  const Shape last = stage_shape(stages_.size() - 1, batch);
  const Tensor dlast = pass.workspace.get(Slot::kWork0, last), dconv = pass.workspace.get(Slot::kWork1, last);
  pass.ops.maxpool2_grad(dy, cut(argmax_, dy.shape), dlast);
  const bool skip = input_gradient_ == InputGradient::kSkip;
  const Tensor dx = skip ? Tensor{} : pass.workspace.other_flow(dy, x_.shape);
  if (stages_.size() == 1) {
    stages_[0].backward(pass, x_, dlast, dconv, dx);
    return dx;
  }
  const Tensor between = cut(between_, stage_shape(0, batch));
  const Tensor dbetween = pass.workspace.get(Slot::kWork0, between.shape);  // dlast is not needed by then
  stages_[1].backward(pass, between, dlast, dconv, dbetween);
  pass.ops.relu_grad(between, dbetween, dbetween);
  stages_[0].backward(pass, x_, dbetween, pass.workspace.get(Slot::kWork1, between.shape), dx);
  return dx;
}

}  // namespace covey
