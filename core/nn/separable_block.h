// Depth-wise separable convolutions (Howard et al. 2017) with group norms (Wu and He 2018), whose
// statistics are of one example alone, so that nothing of a client's data leaves with them.
#pragma once
#include <vector>

#include "core/nn/dense_layer.h"
#include "core/nn/layer.h"

namespace covey {

// y[B,C,H,W] = (x - mean) * rstd * gain[C] + bias[C], mean and rstd over groups of 8 channels.
class GroupNorm {
 public:
  static constexpr std::int64_t kChannels = 8;
  GroupNorm() = default;
  GroupNorm(Parameter gain, Parameter bias) : gain_(gain), bias_(bias) {}
  void plan(const Plan& plan, Shape x);
  void forward(const Pass& pass, Tensor x, Tensor y);
  // Adds to the gradients of gain and bias; dx = ... `dy` is overwritten. `x` as in forward.
  void backward(const Pass& pass, Tensor x, Tensor dy, Tensor dx);

 private:
  Shape groups(Tensor x) const;  // [B * C / 8, 8 * H * W]
  Tensor gain_plane() const;     // as the weight of a depth-wise 1x1 convolution

  Parameter gain_, bias_;
  Tensor ones_, zeros_, normed_, mean_, rstd_;
};

enum class ConvKind : std::uint8_t { kFull, kDepthwise };

// A convolution with "same" padding, and its norm.
class NormedConv {
 public:
  NormedConv(ConvKind kind, Parameter weight, Parameter bias, GroupNorm norm)
      : kind_(kind), weight_(weight), bias_(bias), norm_(norm) {}
  std::int64_t outputs() const { return weight_.value.dim(0); }
  bool trained() const { return weight_.trained(); }
  void plan(const Plan& plan, Shape y);
  void forward(const Pass& pass, Tensor x, Tensor y);
  // dx may be empty. `dy` is overwritten; `dconv` is memory of y's size.
  void backward(const Pass& pass, Tensor x, Tensor dy, Tensor dconv, Tensor dx);

 private:
  ConvGeometry geometry() const { return {weight_.value.dim(2), weight_.value.dim(2) / 2}; }
  ConvKind kind_;
  Parameter weight_, bias_;
  GroupNorm norm_;
  Tensor conv_;
};

// Stages with ReLU between them, then 2x2 max pooling and ReLU: x[B,C,H,W] -> y[B,O,H/2,W/2].
class SeparableBlock final : public Layer {
 public:
  // One or two stages; `input` [C,H,W].
  SeparableBlock(std::vector<NormedConv> stages, Shape input, InputGradient input_gradient)
      : stages_(std::move(stages)), input_(input), input_gradient_(input_gradient) {}
  void plan(const Plan& plan) override;
  Tensor forward(const Pass& pass, Tensor x) override;
  Tensor backward(const Pass& pass, Tensor dy) override;
  bool trained() const override { return stages_.front().trained(); }

 private:
  Shape input_shape(std::int64_t batch) const { return {batch, input_[0], input_[1], input_[2]}; }
  Shape stage_shape(std::size_t stage, std::int64_t batch) const {
    return {batch, stages_[stage].outputs(), input_[1], input_[2]};
  }
  Shape pooled_shape(std::int64_t batch) const {
    return {batch, stages_.back().outputs(), input_[1] / 2, input_[2] / 2};
  }

  std::vector<NormedConv> stages_;
  Shape input_;
  InputGradient input_gradient_;
  Tensor x_, between_, y_, argmax_;
};

}  // namespace covey
