#include "core/nn/transformer_layers.h"

namespace covey {

void EmbeddingLayer::plan(Extent largest, Arena& arena, Workspace&) {
  y_ = arena.take({largest.rows(), table_.value.dim(1)});
}

Tensor EmbeddingLayer::forward(const Pass& pass, Tensor tokens) {
  const std::int64_t rows = pass.extent.rows();
  tokens_ = tokens.reshaped({rows});
  const Tensor y = cut(y_, {rows, table_.value.dim(1)});
  pass.ops.embedding(tokens_, table_.value, y);
  return y;
}

Tensor EmbeddingLayer::backward(const Pass& pass, Tensor dy) {
  pass.ops.embedding_grad(tokens_, dy, table_.gradient);
  return {};
}

Shape TransformerBlock::head_shape(const Extent& extent) const {
  return {extent.batch, extent.length, heads_, width() / heads_};
}

void TransformerBlock::plan(Extent largest, Arena& arena, Workspace& workspace) {
  const std::int64_t rows = largest.rows();
  const Shape narrow{rows, width()};
  const Shape wide{rows, inner()};
  for (Tensor* tensor : {&normed_, &q_, &k_, &v_, &attended_, &x1_, &normed1_, &y_})
    *tensor = arena.take(narrow);
  for (Tensor* tensor : {&gate_, &up_, &activated_}) *tensor = arena.take(wide);
  rstd_ = arena.take({rows});
  rstd1_ = arena.take({rows});
  lse_ = arena.take({largest.batch, heads_, largest.length});

  for (const Slot slot : {Slot::kWork0, Slot::kWork1, Slot::kWork2}) {
    workspace.want(slot, narrow.elements());
    workspace.want(slot, wide.elements());
  }
  for (const Slot slot : {Slot::kWork3, Slot::kWork4, Slot::kWork5})
    workspace.want(slot, narrow.elements());
}

void TransformerBlock::forward_attention(const Pass& pass) {
  Ops& ops = pass.ops;
  const Shape narrow{pass.extent.rows(), width()};
  const Shape by_head = head_shape(pass.extent);
  const Tensor normed = cut(normed_, narrow);
  ops.rmsnorm(x_, p_.attention_norm.value, normed, cut(rstd_, {narrow[0]}));

  const Tensor q = cut(q_, narrow);
  const Tensor k = cut(k_, narrow);
  const Tensor v = cut(v_, narrow);
  ops.linear(normed, p_.query.value, {}, q);
  ops.linear(normed, p_.key.value, {}, k);
  ops.linear(normed, p_.value.value, {}, v);
  ops.rope(q.reshaped(by_head), +1);
  ops.rope(k.reshaped(by_head), +1);

  const Tensor attended = cut(attended_, narrow);
  const Tensor lse = cut(lse_, {pass.extent.batch, heads_, pass.extent.length});
  ops.attention(q.reshaped(by_head), k.reshaped(by_head), v.reshaped(by_head),
                attended.reshaped(by_head), lse);
  const Tensor out = pass.workspace.get(Slot::kWork0, narrow);
  ops.linear(attended, p_.out.value, {}, out);
  ops.add(x_, out, cut(x1_, narrow));
}

void TransformerBlock::forward_ffn(const Pass& pass) {
  Ops& ops = pass.ops;
  const Shape narrow{pass.extent.rows(), width()};
  const Shape wide{pass.extent.rows(), inner()};
  const Tensor x1 = cut(x1_, narrow);
  const Tensor normed = cut(normed1_, narrow);
  ops.rmsnorm(x1, p_.ffn_norm.value, normed, cut(rstd1_, {narrow[0]}));
  const Tensor gate = cut(gate_, wide);
  const Tensor up = cut(up_, wide);
  const Tensor activated = cut(activated_, wide);
  ops.linear(normed, p_.gate.value, {}, gate);
  ops.linear(normed, p_.up.value, {}, up);
  ops.swiglu(gate, up, activated);
  const Tensor out = pass.workspace.get(Slot::kWork0, narrow);
  ops.linear(activated, p_.down.value, {}, out);
  ops.add(x1, out, cut(y_, narrow));
}

Tensor TransformerBlock::forward(const Pass& pass, Tensor x) {
  x_ = x;
  forward_attention(pass);
  forward_ffn(pass);
  return cut(y_, {pass.extent.rows(), width()});
}

void TransformerBlock::backward_ffn(const Pass& pass, Tensor d) {
  Ops& ops = pass.ops;
  const Shape narrow{pass.extent.rows(), width()};
  const Shape wide{pass.extent.rows(), inner()};
  const Tensor dactivated = pass.workspace.get(Slot::kWork0, wide);
  const Tensor dgate = pass.workspace.get(Slot::kWork1, wide);
  const Tensor dup = pass.workspace.get(Slot::kWork2, wide);
  ops.linear_grad_weight(d, cut(activated_, wide), p_.down.gradient, {});
  ops.linear_grad_input(d, p_.down.value, dactivated);
  ops.swiglu_grad(cut(gate_, wide), cut(up_, wide), dactivated, dgate, dup);

  const Tensor normed = cut(normed1_, narrow);
  ops.linear_grad_weight(dgate, normed, p_.gate.gradient, {});
  ops.linear_grad_weight(dup, normed, p_.up.gradient, {});
  const Tensor dnormed = pass.workspace.get(Slot::kWork3, narrow);
  const Tensor part = pass.workspace.get(Slot::kWork4, narrow);
  ops.linear_grad_input(dgate, p_.gate.value, dnormed);
  ops.linear_grad_input(dup, p_.up.value, part);
  ops.add(dnormed, part, dnormed);
  ops.rmsnorm_grad(cut(x1_, narrow), p_.ffn_norm.value, cut(rstd1_, {narrow[0]}), dnormed, d,
                   p_.ffn_norm.gradient);
}

void TransformerBlock::backward_attention(const Pass& pass, Tensor d) {
  Ops& ops = pass.ops;
  const Shape narrow{pass.extent.rows(), width()};
  const Shape by_head = head_shape(pass.extent);
  const Tensor attended = cut(attended_, narrow);
  const Tensor dattended = pass.workspace.get(Slot::kWork0, narrow);
  const Tensor dq = pass.workspace.get(Slot::kWork1, narrow);
  const Tensor dk = pass.workspace.get(Slot::kWork2, narrow);
  const Tensor dv = pass.workspace.get(Slot::kWork3, narrow);
  ops.linear_grad_weight(d, attended, p_.out.gradient, {});
  ops.linear_grad_input(d, p_.out.value, dattended);
  ops.attention_grad(cut(q_, by_head), cut(k_, by_head), cut(v_, by_head),
                     attended.reshaped(by_head),
                     cut(lse_, {pass.extent.batch, heads_, pass.extent.length}),
                     dattended.reshaped(by_head), dq.reshaped(by_head), dk.reshaped(by_head),
                     dv.reshaped(by_head));
  ops.rope(dq.reshaped(by_head), -1);
  ops.rope(dk.reshaped(by_head), -1);

  const Tensor normed = cut(normed_, narrow);
  ops.linear_grad_weight(dq, normed, p_.query.gradient, {});
  ops.linear_grad_weight(dk, normed, p_.key.gradient, {});
  ops.linear_grad_weight(dv, normed, p_.value.gradient, {});
  const Tensor dnormed = pass.workspace.get(Slot::kWork4, narrow);
  const Tensor part = pass.workspace.get(Slot::kWork5, narrow);
  ops.linear_grad_input(dq, p_.query.value, dnormed);
  ops.linear_grad_input(dk, p_.key.value, part);
  ops.add(dnormed, part, dnormed);
  ops.linear_grad_input(dv, p_.value.value, part);
  ops.add(dnormed, part, dnormed);
  ops.rmsnorm_grad(x_, p_.attention_norm.value, cut(rstd_, {narrow[0]}), dnormed, d,
                   p_.attention_norm.gradient);
}

Tensor TransformerBlock::backward(const Pass& pass, Tensor dy) {
  // The residuals: d starts as dL/dy, which is also the direct part of dL/dx1 and then of dL/dx;
  // rmsnorm_grad adds what comes through each branch.
  backward_ffn(pass, dy);
  backward_attention(pass, dy);
  return dy;
}

void HeadLayer::plan(Extent largest, Arena& arena, Workspace& workspace) {
  const Shape narrow{largest.rows(), norm_.value.dim(0)};
  normed_ = arena.take(narrow);
  rstd_ = arena.take({largest.rows()});
  logits_ = arena.take({largest.rows(), head_.value.dim(0)});
  workspace.want(Slot::kFlow0, narrow.elements());
  workspace.want(Slot::kWork0, narrow.elements());
}

Tensor HeadLayer::forward(const Pass& pass, Tensor x) {
  x_ = x;
  const std::int64_t rows = pass.extent.rows();
  const Tensor normed = cut(normed_, x.shape);
  const Tensor logits = cut(logits_, {rows, head_.value.dim(0)});
  pass.ops.rmsnorm(x, norm_.value, normed, cut(rstd_, {rows}));
  pass.ops.linear(normed, head_.value, {}, logits);
  return logits;
}

Tensor HeadLayer::backward(const Pass& pass, Tensor dlogits) {
  const Tensor dnormed = pass.workspace.get(Slot::kWork0, x_.shape);
  const Tensor dx = pass.workspace.get(Slot::kFlow0, x_.shape);
  pass.ops.linear_grad_weight(dlogits, cut(normed_, x_.shape), head_.gradient, {});
  pass.ops.linear_grad_input(dlogits, head_.value, dnormed);
  pass.ops.fill(dx, 0);
  pass.ops.rmsnorm_grad(x_, norm_.value, cut(rstd_, {pass.extent.rows()}), dnormed, dx,
                        norm_.gradient);
  return dx;
}

}  // namespace covey
