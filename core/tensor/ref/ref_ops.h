// The specification of Ops: scalar loops, f64 accumulation, nothing clever. One family per file.
#pragma once
#include <vector>

#include "core/tensor/ops.h"

namespace covey {

class RefOps final : public Ops {
 public:
  const char* name() const override { return "ref"; }

  void linear(Tensor x, Tensor w, Tensor b, Tensor y) override;
  void linear_grad_input(Tensor dy, Tensor w, Tensor dx) override;
  void linear_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db) override;
  void linears_grad_input(std::span<const GradientPart> parts, Tensor dx) override;
  std::int64_t packed_bytes(Shape weight, DType activations) override;
  void pack_weight(Tensor w, DType activations, Tensor packed) override;
  void linear(Tensor x, Weight w, Tensor b, Tensor y) override;
  void linear_grad_input(Tensor dy, Weight w, Tensor dx) override;
  void quantize_rows(Tensor w, Tensor codes, Tensor scales) override;
  void linear_i8(Tensor x, Tensor codes, Tensor scales, Tensor b, Tensor y) override;
  void linear_i8_grad_input(Tensor dy, Tensor codes, Tensor scales, Tensor dx) override;
  void convert(Tensor x, Tensor y) override;
  void embedding(Tensor tokens, Tensor table, Tensor y) override;
  void embedding_grad(Tensor tokens, Tensor dy, Tensor dtable) override;
  void embedding_at(Tensor tokens, Tensor table, Tensor positions, Tensor y) override;
  void positions_grad(Tensor dy, Tensor dpositions) override;
  void rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd, double epsilon) override;
  void rmsnorm_grad(Tensor x, Tensor g, Tensor rstd, Tensor dy, Tensor dx, Tensor dg) override;
  void add_rmsnorm(Tensor a, Tensor b, Tensor sum, Tensor g, Tensor y, Tensor rstd, double epsilon) override;
  void layernorm(Tensor x, Tensor g, Tensor b, Tensor y, Tensor mean, Tensor rstd, double epsilon) override;
  void add_layernorm(Tensor a, Tensor x, Tensor sum, Tensor g, Tensor b, Tensor y, Tensor mean, Tensor rstd,
                     double epsilon) override;
  void layernorm_grad(Tensor x, Tensor g, Tensor mean, Tensor rstd, Tensor dy, Tensor dx, Tensor dg,
                      Tensor db) override;
  void rope(Tensor x, int direction, double base) override;
  void attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse) override;
  void attention_grad(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse, Tensor dy, Tensor dq,
                      Tensor dk, Tensor dv) override;
  void swiglu(Tensor gate, Tensor up, Tensor y) override;
  void swiglu_grad(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup, Tensor y) override;
  void gelu(Tensor x, Tensor y, Gelu kind) override;
  void gelu_grad(Tensor x, Tensor dy, Tensor dx, Gelu kind, Tensor y) override;
  void dropout(Tensor x, Tensor y, Dropout coins) override;
  void relu(Tensor x, Tensor y) override;
  void relu_grad(Tensor y, Tensor dy, Tensor dx) override;
  void conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) override;
  void conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) override;
  void conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db,
                          ConvGeometry geometry) override;
  void depthwise_conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) override;
  void depthwise_conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) override;
  void depthwise_conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db, ConvGeometry geometry) override;
  void maxpool2(Tensor x, Tensor y, Tensor argmax) override;
  void maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx) override;
  std::int64_t softmax_cross_entropy(Tensor logits, Tensor targets, Tensor losses, Tensor dlogits,
                                     LossTerms terms) override;
  std::int64_t head_loss(const HeadLoss& head) override;
  void example_squares(Tensor x, Tensor squares) override;
  void linear_grad_squares(Tensor dy, Tensor x, Bias bias, Tensor squares) override;
  void embedding_grad_squares(Tensor tokens, Tensor dy, Tensor squares) override;
  void tied_grad_squares(Tensor dlogits, Tensor x, Tensor tokens, Tensor dy, Tensor squares) override;
  void scale_examples(Tensor x, Tensor factors) override;
  void add(Tensor a, Tensor b, Tensor y) override;
  void fill(Tensor y, float value) override;
  double squared_norm(Tensor x) override;
  void scale(Tensor x, float factor) override;
  void sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step) override;
  void adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step, Tensor shadow) override;
  void lion(Tensor p, Tensor g, Tensor m, LionStep step) override;
  void muon(Tensor p, Tensor g, Tensor momentum, MuonStep step) override;

 private:
  std::vector<float> dequantized(Tensor codes, Tensor scales);
};

}  // namespace covey
