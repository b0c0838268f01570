// The specification of Ops: scalar loops, f64 accumulation, nothing clever. One family per file.
#pragma once
#include "core/tensor/ops.h"

namespace covey {

class RefOps final : public Ops {
 public:
  const char* name() const override { return "ref"; }

  void linear(Tensor x, Tensor w, Tensor b, Tensor y) override;
  void linear_grad_input(Tensor dy, Tensor w, Tensor dx) override;
  void linear_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db) override;
  void embedding(Tensor tokens, Tensor table, Tensor y) override;
  void embedding_grad(Tensor tokens, Tensor dy, Tensor dtable) override;
  void rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd) override;
  void rmsnorm_grad(Tensor x, Tensor g, Tensor rstd, Tensor dy, Tensor dx, Tensor dg) override;
  void rope(Tensor x, int direction) override;
  void attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse) override;
  void attention_grad(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse, Tensor dy, Tensor dq,
                      Tensor dk, Tensor dv) override;
  void swiglu(Tensor gate, Tensor up, Tensor y) override;
  void swiglu_grad(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup) override;
  void relu(Tensor x, Tensor y) override;
  void relu_grad(Tensor y, Tensor dy, Tensor dx) override;
  void conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) override;
  void conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) override;
  void conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db,
                          ConvGeometry geometry) override;
  void maxpool2(Tensor x, Tensor y, Tensor argmax) override;
  void maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx) override;
  std::int64_t softmax_cross_entropy(Tensor logits, Tensor targets, Tensor losses, Tensor dlogits,
                                     float scale) override;
  void add(Tensor a, Tensor b, Tensor y) override;
  void fill(Tensor y, float value) override;
  double squared_norm(Tensor x) override;
  void scale(Tensor x, float factor) override;
  void sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step) override;
  void adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step) override;
};

}  // namespace covey
