#include "core/nn/norm_part.h"

namespace covey {

void NormPart::plan(const Plan& plan, std::int64_t rows) {
  rstd_ = plan.arena.take({rows});
  if (centred()) mean_ = plan.arena.take({rows});
  if (!trained()) plan.workspace.want(Slot::kFloat, 2 * width());
}

void NormPart::forward(const Pass& pass, Tensor x, Tensor y) {
  const Shape rows{pass.extent.rows()};
  if (centred())
    pass.ops.layernorm(x, gain_.value, bias_.value, y, cut(mean_, rows), cut(rstd_, rows), epsilon_);
  else
    pass.ops.rmsnorm(x, gain_.value, y, cut(rstd_, rows), epsilon_);
}

void NormPart::add_forward(const Pass& pass, Tensor a, Tensor b, Tensor sum, Tensor y) {
  const Shape rows{pass.extent.rows()};
  if (centred())
    pass.ops.add_layernorm(a, b, sum, gain_.value, bias_.value, y, cut(mean_, rows), cut(rstd_, rows), epsilon_);
  else
    pass.ops.add_rmsnorm(a, b, sum, gain_.value, y, cut(rstd_, rows), epsilon_);
}

// What is frozen has its sums thrown away: the operation makes them on its way to dx.
Tensor NormPart::gradient_of(const Pass& pass, const Parameter& parameter, std::int64_t at) const {
  if (parameter.trained()) return parameter.gradient;
  const Tensor both = pass.workspace.get(Slot::kFloat, {2 * width()});
  return {both.f32() + at * width(), {width()}, DType::kF32, Device::kCpu};
}

void NormPart::backward(const Pass& pass, Tensor x, Tensor dy, Tensor dx) {
  const Shape rows{pass.extent.rows()};
  const Tensor dgain = gradient_of(pass, gain_, 0);
  if (centred())
    pass.ops.layernorm_grad(x, gain_.value, cut(mean_, rows), cut(rstd_, rows), dy, dx, dgain,
                            gradient_of(pass, bias_, 1));
  else
    pass.ops.rmsnorm_grad(x, gain_.value, cut(rstd_, rows), dy, dx, dgain);
}

}  // namespace covey
