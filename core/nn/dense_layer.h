// y[B,N] = x[B,K] w[N,K]^T + b[N], with or without ReLU.
#pragma once
#include "core/nn/layer.h"

namespace covey {

enum class Activation : std::uint8_t { kNone, kRelu };
enum class InputGradient : std::uint8_t { kSkip, kCompute };  // a first layer skips it

class DenseLayer final : public Layer {
 public:
  DenseLayer(Parameter weight, Parameter bias, Activation activation, InputGradient input_gradient);

  void plan(const Plan& plan) override;
  Tensor forward(const Pass& pass, Tensor x) override;  // x of any rank is flattened to [B,K]
  Tensor backward(const Pass& pass, Tensor dy) override;
  bool trained() const override { return weight_.trained(); }
  Tensor set_first() const override { return weight_.gradient; }

 private:
  std::int64_t inputs() const { return weight_.value.dim(1); }
  std::int64_t outputs() const { return weight_.value.dim(0); }

  Parameter weight_, bias_;
  Activation activation_;
  InputGradient input_gradient_;
  Tensor x_, y_;
};

}  // namespace covey
