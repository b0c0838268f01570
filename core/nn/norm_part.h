// RMSNorm, or LayerNorm where there is a bias, as a part of other layers.
#pragma once
#include "core/nn/layer.h"

namespace covey {

class NormPart {
 public:
  NormPart() = default;
  NormPart(Parameter gain, Parameter bias, double epsilon)  // [D]; bias may be absent
      : gain_(gain), bias_(bias), epsilon_(epsilon) {}

  std::int64_t width() const { return gain_.value.dim(0); }
  bool trained() const { return gain_.trained(); }
  void plan(const Plan& plan, std::int64_t rows);
  // y = norm(x); keeps what the gradient needs beside x.
  void forward(const Pass& pass, Tensor x, Tensor y);
  // sum = a + b, y = norm(sum); sum may be a or b.
  void add_forward(const Pass& pass, Tensor a, Tensor b, Tensor sum, Tensor y);
  // dx += the gradient through the norm; `x` as in forward, or its sum.
  void backward(const Pass& pass, Tensor x, Tensor dy, Tensor dx);

 private:
  bool centred() const { return bias_.exists(); }
  Tensor thrown_away(const Pass& pass, std::int64_t at) const;
  Parameter gain_, bias_;
  double epsilon_ = kNormEpsilon;
  Tensor mean_, rstd_;  // [M] f32
};

}  // namespace covey
