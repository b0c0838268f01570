#include "core/nn/transformer_block.h"

#include <algorithm>
#include <array>

namespace covey {
namespace {

// A pass over activations costs the less, beside the products, the wider they are; from here on it is worth the
// memory that it saves, two fifths of what such a block would keep.
constexpr std::int64_t kRemadeWidth = 512;

using Use = Projection::Use;

}  // namespace

Tensor TransformerBlock::by_head(const Pass& pass, Tensor x, std::int64_t heads) const {
  return cut(x, {pass.extent.batch, pass.extent.length, heads, s_.head_width});
}

void TransformerBlock::plan(const Plan& plan) {
  y_ = plan.activation({plan.largest.rows(), width()});
  p_.down.plan(plan, plan.largest.rows());  // its own: backward does not compute its product again
  want_work(plan);
  if (kept_ == Kept::kKeep) plan_inside(plan);
}

void TransformerBlock::plan_inside(const Plan& plan) {
  const std::int64_t rows = plan.largest.rows();
  remade_ = kept_ == Kept::kKeep && plan.book == nullptr && width() >= kRemadeWidth;
  if (!sums_again(plan.activations)) x1_ = plan.activation({rows, width()});
  for (Tensor* tensor : {&q_, &attended_}) *tensor = plan.activation({rows, width()});
  for (Tensor* tensor : {&k_, &v_}) *tensor = plan.activation({rows, kv_width()});
  up_ = plan.activation({rows, s_.inner});
  if (!remade_) {
    for (Tensor* tensor : {&normed_, &normed1_}) *tensor = plan.activation({rows, width()});
    activated_ = plan.activation({rows, s_.inner});
  }
  if (llama()) gate_ = plan.activation({rows, s_.inner});
  lse_ = plan.arena.take({plan.largest.batch, s_.heads, plan.largest.length});
  for (NormPart* norm : {&p_.attention_norm, &p_.ffn_norm}) norm->plan(plan, rows);
  for (Projection* part : {&p_.query, &p_.key, &p_.value, &p_.out, &p_.up}) part->plan(plan, rows);
  if (llama()) p_.gate.plan(plan, rows);
}

void TransformerBlock::want_work(const Plan& plan) const {
  const std::int64_t rows = plan.largest.rows();
  plan.workspace.want(Slot::kWork0, rows * std::max(width(), s_.inner));
  for (const Slot slot : {Slot::kWork1, Slot::kWork3}) plan.workspace.want(slot, rows * width());
  const std::int64_t spares = s_.inner / width() * (llama() ? 2 : 1);
  for (const auto& [i, slot] : {std::pair(1, Slot::kWork2), {2, Slot::kWork4}, {3, Slot::kWork5}})
    if (spares <= i || (llama() && slot == Slot::kWork2)) plan.workspace.want(slot, rows * width());
  if (s_.dropout > 0) plan.workspace.want(Slot::kFlow1, rows * width());
}

bool TransformerBlock::trained() const {
  const Projection* parts[] = {&p_.query, &p_.key, &p_.value, &p_.out, &p_.up, &p_.down};
  return p_.attention_norm.trained() || p_.ffn_norm.trained() ||
         std::any_of(std::begin(parts), std::end(parts), [](const Projection* part) { return part->trained(); }) ||
         (llama() && p_.gate.trained());
}

void TransformerBlock::set_first(std::vector<SetFirst>& out) const {
  for (const Projection* part : {&p_.query, &p_.key, &p_.value, &p_.out, &p_.gate, &p_.up, &p_.down})
    if (!part->set_first().empty()) out.push_back({part->set_first()});
}

// x or, in training with dropout, what is left of it in y, which may be x.
Tensor TransformerBlock::dropped(const Pass& pass, Tensor x, Tensor y, std::uint64_t use) const {
  if (!pass.coins.thrown || s_.dropout <= 0) return x;
  pass.ops.dropout(x, y, pass.coins.of(s_.dropout, s_.place + use));
  return y;
}

// Where sums are made again x1 needs no memory beyond forward, and y may take its place.
Tensor TransformerBlock::first_sum(const Pass& pass) const {
  return cut(sums_again(x_.dtype) ? y_ : x1_, narrow(pass));
}

// Work memory in backward, after the activation's: the i-th of as many as fit into what the activation was made of.
Tensor TransformerBlock::spare(const Pass& pass, std::int64_t i, Slot slot, Shape shape) const {
  const std::int64_t each = s_.inner / width();
  if (i >= each * (llama() ? 2 : 1)) return pass.workspace.get(slot, shape);
  Tensor from = i < each ? up_ : gate_;
  from.data = static_cast<std::byte*>(from.data) + static_cast<std::size_t>(i % each * pass.extent.rows() * width()) * size_of(from.dtype);
  from.shape = shape;
  return from;
}

// Up to the second norm.
void TransformerBlock::forward_attention(const Pass& pass) {
  Ops& ops = pass.ops;
  const Tensor normed = kept_or(pass, normed_, Slot::kWork1, narrow(pass));
  p_.attention_norm.forward(pass, x_, normed);
  const Tensor q = cut(q_, narrow(pass)), k = cut(k_, kv(pass)), v = cut(v_, kv(pass));
  Projection::forward(pass, normed, std::array{Use{&p_.query, q}, Use{&p_.key, k}, Use{&p_.value, v}});
  if (llama()) {
    ops.rope(by_head(pass, q, s_.heads), +1, s_.rope_theta);
    ops.rope(by_head(pass, k, s_.kv_heads), +1, s_.rope_theta);
  }
  const Tensor attended = cut(attended_, narrow(pass));
  ops.attention(by_head(pass, q, s_.heads), by_head(pass, k, s_.kv_heads), by_head(pass, v, s_.kv_heads),
                by_head(pass, attended, s_.heads), cut(lse_, {pass.extent.batch, s_.heads, pass.extent.length}));
  const Tensor out = pass.workspace.get(Slot::kWork0, narrow(pass));
  p_.out.forward(pass, attended, out);
  p_.ffn_norm.add_forward(pass, x_, dropped(pass, out, out, 0), first_sum(pass),
                          kept_or(pass, normed1_, Slot::kWork3, narrow(pass)));
}

// Up to the activation.
void TransformerBlock::forward_ffn(const Pass& pass) {
  const Tensor normed = kept_or(pass, normed1_, Slot::kWork3, narrow(pass)), up = cut(up_, wide(pass));
  const Tensor activated = kept_or(pass, activated_, Slot::kWork0, wide(pass));
  if (!llama()) {
    p_.up.forward(pass, normed, up);
    return pass.ops.gelu(up, activated, Gelu::kTanh);
  }
  const Tensor gate = cut(gate_, wide(pass));
  Projection::forward(pass, normed, std::array{Use{&p_.gate, gate}, Use{&p_.up, up}});
  pass.ops.swiglu(gate, up, activated);
}

Tensor TransformerBlock::forward(const Pass& pass, Tensor x) {
  x_ = x;
  forward_attention(pass);
  forward_ffn(pass);
  const Tensor out = pass.workspace.get(Slot::kWork1, narrow(pass)), y = cut(y_, narrow(pass));
  p_.down.forward(pass, kept_or(pass, activated_, Slot::kWork0, wide(pass)), out);
  pass.ops.add(first_sum(pass), dropped(pass, out, out, 1), y);
  return y;
}

// From the gradient of the activation's input on; `dup` becomes that of `up`, and what is returned that of the gate.
Tensor TransformerBlock::backward_down(const Pass& pass, Tensor dout, Tensor dup) {
  const Tensor dactivated = pass.workspace.get(Slot::kWork0, wide(pass)), up = cut(up_, wide(pass));
  const Tensor activated = remade_ ? dactivated : cut(activated_, wide(pass));  // made on the way, in its gradient's place
  const Tensor dgate = llama() ? p_.gate.output_gradient(pass, cut(gate_, wide(pass))) : Tensor{};
  p_.down.input_gradient(pass, dout, dactivated);
  if (llama())
    pass.ops.swiglu_grad(cut(gate_, wide(pass)), up, dactivated, dgate, dup, remade_ ? activated : Tensor{});
  else
    pass.ops.gelu_grad(up, dactivated, dup, Gelu::kTanh, remade_ ? activated : Tensor{});
  p_.down.gradient(pass, dout, activated);
  return dgate;
}

void TransformerBlock::backward_ffn(const Pass& pass, Tensor d) {
  const Tensor dup = p_.up.output_gradient(pass, cut(up_, wide(pass)));
  const Tensor dnormed = pass.workspace.get(Slot::kWork1, narrow(pass));
  const Tensor dout = dropped(pass, d, s_.dropout > 0 ? pass.workspace.get(Slot::kFlow1, narrow(pass)) : d, 1);
  const Tensor dgate = backward_down(pass, dout, dup);
  const Tensor normed = kept_or(pass, normed1_, Slot::kWork3, narrow(pass));
  const bool again = sums_again(x_.dtype);
  const Tensor x1 = again ? pass.workspace.get(Slot::kWork0, narrow(pass)) : cut(x1_, narrow(pass));
  if (again) {
    p_.out.forward(pass, cut(attended_, narrow(pass)), x1);
    p_.ffn_norm.add_forward(pass, x_, dropped(pass, x1, x1, 0), x1, normed);
  } else if (remade_) {
    p_.ffn_norm.forward(pass, x1, normed);
  }
  if (llama()) {
    const Tensor part = pass.workspace.get(Slot::kWork2, narrow(pass));
    const std::array uses{Use{&p_.gate, dgate}, Use{&p_.up, dup}};
    Projection::gradient(pass, uses, normed);
    Projection::input_gradient(pass, uses, dnormed, part);
  } else {
    p_.up.gradient(pass, dup, normed);
    p_.up.input_gradient(pass, dup, dnormed);
  }
  p_.ffn_norm.backward(pass, x1, dnormed, d);
}

void TransformerBlock::backward_attention(const Pass& pass, Tensor d) {
  const Tensor attended = cut(attended_, narrow(pass)), dattended = spare(pass, 0, Slot::kWork0, narrow(pass));
  const Tensor dout = dropped(pass, d, s_.dropout > 0 ? pass.workspace.get(Slot::kFlow1, narrow(pass)) : d, 0);
  p_.out.gradient(pass, dout, attended);
  p_.out.input_gradient(pass, dout, dattended);
  backward_queries(pass, d, dattended);
}

void TransformerBlock::backward_queries(const Pass& pass, Tensor d, Tensor dattended) {
  Ops& ops = pass.ops;
  const Tensor dq = p_.query.output_gradient(pass, spare(pass, 1, Slot::kWork2, narrow(pass)));
  const Tensor dk = p_.key.output_gradient(pass, spare(pass, 2, Slot::kWork4, kv(pass)));
  const Tensor dv = p_.value.output_gradient(pass, spare(pass, 3, Slot::kWork5, kv(pass)));
  ops.attention_grad(by_head(pass, q_, s_.heads), by_head(pass, k_, s_.kv_heads), by_head(pass, v_, s_.kv_heads),
                     by_head(pass, attended_, s_.heads),
                     cut(lse_, {pass.extent.batch, s_.heads, pass.extent.length}), by_head(pass, dattended, s_.heads),
                     by_head(pass, dq, s_.heads), by_head(pass, dk, s_.kv_heads), by_head(pass, dv, s_.kv_heads));
  if (llama()) {
    ops.rope(by_head(pass, dq, s_.heads), -1, s_.rope_theta);
    ops.rope(by_head(pass, dk, s_.kv_heads), -1, s_.rope_theta);
  }
  const Tensor normed = kept_or(pass, normed_, Slot::kWork0, narrow(pass));
  if (remade_) p_.attention_norm.forward(pass, x_, normed);
  const std::array uses{Use{&p_.query, dq}, Use{&p_.key, dk}, Use{&p_.value, dv}};
  Projection::gradient(pass, uses, normed);
  const Tensor dnormed = pass.workspace.get(Slot::kWork1, narrow(pass)), part = pass.workspace.get(Slot::kWork3, narrow(pass));
  Projection::input_gradient(pass, uses, dnormed, part);
  p_.attention_norm.backward(pass, x_, dnormed, d);
}

Tensor TransformerBlock::backward(const Pass& pass, Tensor dy) {
  if (kept_ == Kept::kAgain) {
    forward_attention(pass);
    forward_ffn(pass);
  }
  // The residuals: d starts as dL/dy, which is also the direct part of dL/dx1 and then of dL/dx;
  // the norms add what comes through each branch.
  backward_ffn(pass, dy);
  backward_attention(pass, dy);
  return dy;
}

}  // namespace covey
