// The layers of a Llama-style decoder (Touvron et al. 2023). M = batch * length, D = width.
#pragma once
#include "core/nn/layer.h"

namespace covey {

// tokens i32[B,T] -> y[M,D]
class EmbeddingLayer final : public Layer {
 public:
  explicit EmbeddingLayer(Parameter table) : table_(table) {}  // [V,D]
  void plan(Extent largest, Arena& arena, Workspace& workspace) override;
  Tensor forward(const Pass& pass, Tensor tokens) override;
  Tensor backward(const Pass& pass, Tensor dy) override;

 private:
  Parameter table_;
  Tensor tokens_, y_;
};

struct BlockParameters {
  Parameter attention_norm;          // [D]
  Parameter query, key, value, out;  // [D,D]
  Parameter ffn_norm;                // [D]
  Parameter gate, up;                // [F,D]
  Parameter down;                    // [D,F]
};

// x1 = x + out(attention(rope(q), rope(k), v)) of rmsnorm(x);  y = x1 + down(swiglu) of rmsnorm(x1)
class TransformerBlock final : public Layer {
 public:
  TransformerBlock(BlockParameters parameters, std::int64_t heads)
      : p_(parameters), heads_(heads) {}
  void plan(Extent largest, Arena& arena, Workspace& workspace) override;
  Tensor forward(const Pass& pass, Tensor x) override;
  Tensor backward(const Pass& pass, Tensor dy) override;  // in place: dx is dy's memory

 private:
  std::int64_t width() const { return p_.down.value.dim(0); }
  std::int64_t inner() const { return p_.down.value.dim(1); }
  Shape head_shape(const Extent& extent) const;  // [B,T,H,D/H]
  void forward_attention(const Pass& pass);
  void forward_ffn(const Pass& pass);
  // d: the gradient of the block's running sum, read and added to.
  void backward_ffn(const Pass& pass, Tensor d);
  void backward_attention(const Pass& pass, Tensor d);

  BlockParameters p_;
  std::int64_t heads_;
  Tensor x_, normed_, rstd_, q_, k_, v_, attended_, lse_;
  Tensor x1_, normed1_, rstd1_, gate_, up_, activated_, y_;
};

// logits[M,V] = rmsnorm(x) head^T
class HeadLayer final : public Layer {
 public:
  HeadLayer(Parameter norm, Parameter head) : norm_(norm), head_(head) {}  // [D], [V,D]
  void plan(Extent largest, Arena& arena, Workspace& workspace) override;
  Tensor forward(const Pass& pass, Tensor x) override;
  Tensor backward(const Pass& pass, Tensor dlogits) override;

 private:
  Parameter norm_, head_;
  Tensor x_, normed_, rstd_, logits_;
};

}  // namespace covey
