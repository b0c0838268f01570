#include "core/nn/token_layers.h"

#include <algorithm>

#include "core/nn/example_book.h"

namespace covey {

void EmbeddingLayer::plan(const Plan& plan) {
  y_ = plan.activation({plan.largest.rows(), table_.value.dim(1)});
}

Tensor EmbeddingLayer::forward(const Pass& pass, Tensor tokens) {
  const std::int64_t rows = pass.extent.rows(), width = table_.value.dim(1);
  tokens_ = tokens.reshaped({rows});
  const Tensor y = cut(y_, {rows, width});
  if (positions_.exists())
    pass.ops.embedding_at(tokens_, table_.value, positions_.value,
                          cut(y, {pass.extent.batch, pass.extent.length, width}));
  else
    pass.ops.embedding(tokens_, table_.value, y);
  if (drops(pass)) pass.ops.dropout(y, y, pass.coins.of(dropout_, place_));
  return y;
}

Tensor EmbeddingLayer::backward(const Pass& pass, Tensor dy) {
  if (drops(pass)) pass.ops.dropout(dy, dy, pass.coins.of(dropout_, place_));
  if (pass.book != nullptr) {
    pass.book->embedding(tokens_, dy, table_.gradient, positions_.gradient);
    return {};
  }
  if (positions_.trained())
    pass.ops.positions_grad(cut(dy, {pass.extent.batch, pass.extent.length, table_.value.dim(1)}),
                            positions_.gradient);
  if (table_.trained()) pass.ops.embedding_grad(tokens_, dy, table_.gradient);
  return {};
}

void TokenHead::plan(const Plan& plan) {
  const std::int64_t elements = plan.largest.rows() * norm_.width();
  normed_ = plan.activation({plan.largest.rows(), norm_.width()});
  norm_.plan(plan, plan.largest.rows());
  plan.workspace.want(Slot::kFlow0, elements);
  plan.workspace.want(Slot::kWork0, elements);
  if (plan.book == nullptr) {
    if (keeps_ && plan.activations == DType::kBf16 && table_.value.dim(0) > kHeadColumns)
      kept_ = plan.activation({std::min(plan.largest.rows(), kHeadRows), table_.value.dim(0)});
    return;
  }
  const Shape logits{plan.largest.rows(), table_.value.dim(0)};
  clip_logits_ = plan.arena.take(logits);
  if (plan.activations != DType::kF32) dlogits_ = plan.activation(logits);
}

Tensor TokenHead::logits(const Pass& pass, Tensor x) {
  const Tensor normed = cut(normed_, x.shape);
  norm_.forward(pass, x, normed);
  const Shape shape{pass.extent.rows(), table_.value.dim(0)};
  const auto bytes = static_cast<std::size_t>(shape.elements()) * sizeof(float);
  if (logits_arena_.capacity() < bytes) {
    logits_arena_ = Arena(bytes);
    logits_ = logits_arena_.take({shape.elements()});
  }
  const Tensor logits = cut(logits_, shape);
  pass.ops.linear(normed, table_.value, {}, logits);
  return logits;
}

Ops::HeadLoss TokenHead::head(const Pass& pass, Tensor normed, const LossCall& call) const {
  return {.x = normed, .w = table_.value, .targets = call.targets, .losses = cut(call.losses, {pass.extent.rows()}),
          .dx = {}, .dw = {}, .terms = call.terms};
}

std::int64_t TokenHead::loss(const Pass& pass, Tensor x, const LossCall& call) {
  const Tensor normed = cut(normed_, x.shape);
  norm_.forward(pass, x, normed);
  return pass.ops.head_loss(head(pass, normed, call));
}

Tensor TokenHead::backward(const Pass& pass, Tensor x, const LossCall& call, std::int64_t& correct) {
  const Tensor normed = cut(normed_, x.shape);
  norm_.forward(pass, x, normed);
  if (pass.book != nullptr) return backward_in_book(pass, x, call, correct);
  Ops::HeadLoss head = this->head(pass, normed, call);
  head.dx = pass.workspace.get(Slot::kWork0, x.shape);
  head.dw = table_.gradient;
  head.kept = kept_;
  head.into = pass.set_squares != nullptr ? Into::kSet : Into::kAdd;
  correct = pass.ops.head_loss(head);
  return backward_norm(pass, x, head.dx);
}

Tensor TokenHead::backward_norm(const Pass& pass, Tensor x, Tensor dnormed) {
  const Tensor dx = pass.workspace.get(Slot::kFlow0, x.shape);
  pass.ops.fill(dx, 0);
  norm_.backward(pass, x, dnormed, dx);
  return dx;
}

Tensor TokenHead::backward_in_book(const Pass& pass, Tensor x, const LossCall& call, std::int64_t& correct) {
  const Shape shape{pass.extent.rows(), table_.value.dim(0)};
  const Tensor normed = cut(normed_, x.shape), logits = cut(clip_logits_, shape), dlogits = this->dlogits(shape);
  pass.ops.linear(normed, table_.value, {}, logits);
  correct = pass.ops.softmax_cross_entropy(logits, call.targets, cut(call.losses, {shape[0]}), logits, call.terms);
  if (dlogits.data != logits.data) pass.ops.convert(logits, dlogits);
  if (table_.trained()) pass.book->head(dlogits, normed, table_.gradient);
  const Tensor dnormed = pass.workspace.get(Slot::kWork0, x.shape);
  pass.ops.linear_grad_input(dlogits, table_.value, dnormed);
  return backward_norm(pass, x, dnormed);
}

Tensor TokenHead::backward_again(const Pass& pass, Tensor x, Tensor factors) {
  const Tensor dlogits = this->dlogits({pass.extent.rows(), table_.value.dim(0)}), normed = cut(normed_, x.shape);
  pass.ops.scale_examples(dlogits, factors);
  if (table_.trained()) pass.ops.linear_grad_weight(dlogits, normed, table_.gradient, {});
  const Tensor dnormed = pass.workspace.get(Slot::kWork0, x.shape);
  pass.ops.linear_grad_input(dlogits, table_.value, dnormed);
  return backward_norm(pass, x, dnormed);
}

}  // namespace covey
