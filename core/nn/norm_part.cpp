#include "core/nn/norm_part.h"

#include "core/nn/example_book.h"

namespace covey {

void NormPart::plan(const Plan& plan, std::int64_t rows) {
  rstd_ = plan.arena.take({rows});
  if (centred()) mean_ = plan.arena.take({rows});
  if (!trained()) plan.workspace.want(Slot::kFloat, 2 * width());
  if (plan.book != nullptr && trained())
    for (int i = 0; i < (centred() ? 2 : 1); ++i) plan.book->want_instances(width());
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
Tensor NormPart::thrown_away(const Pass& pass, std::int64_t at) const {
  const Tensor both = pass.workspace.get(Slot::kFloat, {2 * width()});
  return {both.f32() + at * width(), {width()}, DType::kF32, Device::kCpu};
}

void NormPart::backward(const Pass& pass, Tensor x, Tensor dy, Tensor dx) {
  const Shape rows{pass.extent.rows()};
  const auto add = [&](const ExamplePart& part, Tensor dgain, Tensor dbias) {
    const Tensor rstd = part(cut(rstd_, rows));
    if (centred())
      pass.ops.layernorm_grad(part(x), gain_.value, part(cut(mean_, rows)), rstd, part(dy), part(dx), dgain, dbias);
    else
      pass.ops.rmsnorm_grad(part(x), gain_.value, rstd, part(dy), part(dx), dgain);
  };
  if (trained()) return add_gradients(pass, gain_, bias_, add);
  add(ExamplePart(0, 1), thrown_away(pass, 0), thrown_away(pass, 1));
}

}  // namespace covey
