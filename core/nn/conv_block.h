// Convolution with "same" padding, 2x2 max pooling, ReLU: x[B,C,H,W] -> y[B,O,H/2,W/2].
// ReLU and max commute, gradients included, so ReLU runs on a quarter of the elements.
#pragma once
#include "core/nn/dense_layer.h"
#include "core/nn/layer.h"

namespace covey {

class ConvBlock final : public Layer {
 public:
  // weight [O,C,k,k], k odd; bias [O]; height and width of the input, even.
  ConvBlock(Parameter weight, Parameter bias, std::int64_t height, std::int64_t width,
            InputGradient input_gradient);

  void plan(const Plan& plan) override;
  Tensor forward(const Pass& pass, Tensor x) override;
  Tensor backward(const Pass& pass, Tensor dy) override;
  bool trained() const override { return weight_.trained(); }

 private:
  Shape input_shape(std::int64_t batch) const;
  Shape conv_shape(std::int64_t batch) const;
  Shape pooled_shape(std::int64_t batch) const;
  ConvGeometry geometry() const;

  Parameter weight_, bias_;
  std::int64_t height_, width_;
  InputGradient input_gradient_;
  Tensor x_, y_, argmax_;
};

}  // namespace covey
