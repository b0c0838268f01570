#include "core/nn/projection.h"

#include <algorithm>
#include <array>

#include "core/nn/example_book.h"

namespace covey {
namespace {

constexpr std::size_t kUses = 3;

void add_gradient_products(const Pass& pass, std::span<const Ops::GradientPart> parts, Tensor x) {
  const double squares = pass.ops.linears_grad_weight(parts, x);
  if (pass.set_squares != nullptr) *pass.set_squares += squares;
}

}  // namespace

void Projection::plan(const Plan& plan, std::int64_t rows) {
  if (plan.book != nullptr && weight_.trained()) plan.book->want_gradient(rows * outputs(), plan.activations);
  if (!adapted()) return;
  const std::int64_t rank = adapter_.a.value.dim(0);
  if (plan.book != nullptr && adapter_.a.trained()) {
    plan.book->want_instances(rank * inputs());
    plan.book->want_instances(outputs() * rank);
  }
  scaled_ = plan.arena.take({outputs(), rank});
  low_ = plan.activation({rows, rank});
  plan.workspace.want(Slot::kWide, rows * std::max(inputs(), outputs()));
  plan.workspace.want(Slot::kLora, rows * rank);
  plan.workspace.want(Slot::kFloat, outputs() * rank);
}

Tensor Projection::output_gradient(const Pass& pass, Tensor there) const {
  const bool kept = pass.book != nullptr && pass.book->keeps() && weight_.trained();
  return kept ? pass.book->gradient_memory(there.shape, there.dtype) : there;
}

Tensor Projection::dropped(const Pass& pass, Tensor x) const {
  if (!drops(pass)) return x;
  const Tensor kept = pass.workspace.get(Slot::kWide, x.shape);
  pass.ops.dropout(x, kept, pass.coins.of(adapter_.dropout, adapter_.place));
  return kept;
}

Tensor Projection::scaled(const Pass& pass) {
  pass.ops.convert(adapter_.b.value, scaled_);
  pass.ops.scale(scaled_, adapter_.scale);
  return scaled_;
}

void Projection::product(const Pass& pass, Tensor x, Tensor y) const {
  if (weight_.value.dtype == DType::kI8) return pass.ops.linear_i8(x, weight_.value, weight_.scales, bias_.value, y);
  pass.ops.linear(x, weight_.value, bias_.value, y);
}

void Projection::product_input_gradient(const Pass& pass, Tensor dy, Tensor dx) const {
  if (weight_.value.dtype == DType::kI8) return pass.ops.linear_i8_grad_input(dy, weight_.value, weight_.scales, dx);
  pass.ops.linear_grad_input(dy, weight_.value, dx);
}

void Projection::forward(const Pass& pass, Tensor x, Tensor y) {
  product(pass, x, y);
  if (!adapted()) return;
  const Tensor low = cut(low_, {pass.extent.rows(), adapter_.a.value.dim(0)});
  pass.ops.linear(dropped(pass, x), adapter_.a.value, {}, low);
  const Tensor more = pass.workspace.get(Slot::kWide, y.shape);
  pass.ops.linear(low, scaled(pass), {}, more);
  pass.ops.add(y, more, y);
}

void Projection::gradient(const Pass& pass, Tensor dy, Tensor x) {
  if (weight_.trained() && pass.book == nullptr)
    add_gradient_products(pass, std::array{gradient_part(pass, dy)}, x);
  else if (weight_.trained())
    add_linear_gradient(pass, dy, x, weight_, bias_);
  if (adapted() && adapter_.a.trained()) adapter_gradient(pass, dy, x);
}

Ops::GradientPart Projection::gradient_part(const Pass& pass, Tensor dy) const {
  return {dy, weight_.value, weight_.gradient, bias_.gradient, pass.set_squares != nullptr ? Into::kSet : Into::kAdd};
}

// scaled_ holds scale * b since forward.
void Projection::adapter_gradient(const Pass& pass, Tensor dy, Tensor x) {
  Ops& ops = pass.ops;
  const std::int64_t rank = adapter_.a.value.dim(0);
  const Tensor low = cut(low_, {pass.extent.rows(), rank});
  const Tensor dlow = pass.workspace.get(Slot::kLora, {pass.extent.rows(), rank});
  ops.linear_grad_input(dy, scaled_, dlow);
  const Tensor kept = dropped(pass, x), unscaled = pass.workspace.get(Slot::kFloat, {outputs(), rank});
  add_gradients(pass, adapter_.a, adapter_.b, [&](const ExamplePart& part, Tensor da, Tensor db) {
    ops.fill(unscaled, 0);
    ops.linear_grad_weight(part(dy), part(low), unscaled, {});
    ops.scale(unscaled, adapter_.scale);
    ops.add(db, unscaled, db);
    ops.linear_grad_weight(part(dlow), part(kept), da, {});
  });
}

void Projection::input_gradient(const Pass& pass, Tensor dy, Tensor dx) {
  Ops& ops = pass.ops;
  product_input_gradient(pass, dy, dx);
  if (!adapted()) return;
  const Tensor dlow = pass.workspace.get(Slot::kLora, {pass.extent.rows(), adapter_.a.value.dim(0)});
  ops.linear_grad_input(dy, scaled_, dlow);
  const Tensor more = pass.workspace.get(Slot::kWide, dx.shape);
  ops.linear_grad_input(dlow, adapter_.a.value, more);
  if (drops(pass)) ops.dropout(more, more, pass.coins.of(adapter_.dropout, adapter_.place));
  ops.add(dx, more, dx);
}

void Projection::forward(const Pass& pass, Tensor x, std::span<const Use> uses) {
  if (!std::all_of(uses.begin(), uses.end(), [](const Use& use) { return use.part->plain(); })) {
    for (const Use& use : uses) use.part->forward(pass, x, use.tensor);
    return;
  }
  std::array<Ops::LinearPart, kUses> parts{};
  for (std::size_t i = 0; i < uses.size(); ++i)
    parts[i] = {uses[i].part->weight_.value, uses[i].part->bias_.value, uses[i].tensor};
  pass.ops.linears(x, std::span(parts).first(uses.size()));
}

void Projection::gradient(const Pass& pass, std::span<const Use> uses, Tensor x) {
  const auto joins = [](const Use& use) { return use.part->plain() && use.part->weight_.trained(); };
  if (pass.book != nullptr || !std::all_of(uses.begin(), uses.end(), joins)) {
    for (const Use& use : uses) use.part->gradient(pass, use.tensor, x);
    return;
  }
  std::array<Ops::GradientPart, kUses> parts{};
  for (std::size_t i = 0; i < uses.size(); ++i)
    parts[i] = uses[i].part->gradient_part(pass, uses[i].tensor);
  add_gradient_products(pass, std::span(parts).first(uses.size()), x);
}

void Projection::input_gradient(const Pass& pass, std::span<const Use> uses, Tensor dx, Tensor room) {
  if (!std::all_of(uses.begin(), uses.end(), [](const Use& use) { return use.part->plain(); })) {
    uses[0].part->input_gradient(pass, uses[0].tensor, dx);
    for (const Use& use : uses.subspan(1)) {
      use.part->input_gradient(pass, use.tensor, room);
      pass.ops.add(dx, room, dx);
    }
    return;
  }
  std::array<Ops::GradientPart, kUses> parts{};
  for (std::size_t i = 0; i < uses.size(); ++i) parts[i] = {uses[i].tensor, uses[i].part->weight_.value};
  pass.ops.linears_grad_input(std::span(parts).first(uses.size()), dx);
}

}  // namespace covey
