// The one table of operations. `ref` (scalar, f64 accumulation) is the specification; `cpu` and
// `cuda` are held against it by the same tests. All tensors are f32 unless said. "+=" marks
// outputs that are accumulated into, so that gradients of shared parameters and of accumulation
// steps add up; all other outputs are overwritten. Shapes are in comments, and leading dimensions
// may be folded into the first of [M, ...]; a mismatch is our bug (COVEY_CHECK). Outputs of
// elementwise operations may be one of their inputs (the same memory exactly); others are distinct.
#pragma once
#include <memory>
#include <span>

#include "core/base/result.h"
#include "core/tensor/tensor.h"

namespace covey {

struct ConvGeometry {
  std::int64_t kernel = 5;
  std::int64_t padding = 2;  // stride 1
};

struct AdamWStep {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  std::int64_t step;  // from 1, for bias correction
};
struct SgdStep {
  float learning_rate, momentum, weight_decay;
  bool first;  // velocity starts as the gradient, as in PyTorch
};

class Ops {
 public:
  virtual ~Ops() = default;
  virtual const char* name() const = 0;  // "ref", "cpu", "cuda"

  // y[M,N] = x[M,K] w[N,K]^T + b[N]  (b may be empty)
  virtual void linear(Tensor x, Tensor w, Tensor b, Tensor y) = 0;
  // dx[M,K] = dy[M,N] w[N,K]
  virtual void linear_grad_input(Tensor dy, Tensor w, Tensor dx) = 0;
  // dw[N,K] += dy[M,N]^T x[M,K];  db[N] += column sums of dy  (db may be empty)
  virtual void linear_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db) = 0;

  // y[M,D] = table[V,D] at tokens i32[M];  dtable[V,D] += dy[M,D]
  virtual void embedding(Tensor tokens, Tensor table, Tensor y) = 0;
  virtual void embedding_grad(Tensor tokens, Tensor dy, Tensor dtable) = 0;

  // y[M,D] = x * rstd * g[D], rstd[M] = 1/sqrt(mean(x^2) + 1e-5)  (Zhang and Sennrich 2019)
  virtual void rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd) = 0;
  // dx[M,D] += ...; dg[D] += ...
  virtual void rmsnorm_grad(Tensor x, Tensor g, Tensor rstd, Tensor dy, Tensor dx, Tensor dg) = 0;

  // Rotary positions in place on x[B,T,H,Dh], base 10000, pairs (i, i + Dh/2) as in Hugging Face's
  // Llama. direction +1 forward, -1 for the gradient.
  virtual void rope(Tensor x, int direction) = 0;

  // Causal attention. q, k, v, y [B,T,H,Dh]; scale 1/sqrt(Dh); lse[B,H,T] = log-sum-exp of scores.
  virtual void attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse) = 0;
  virtual void attention_grad(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse, Tensor dy,
                              Tensor dq, Tensor dk, Tensor dv) = 0;

  // y = silu(gate) * up, all [M,F]
  virtual void swiglu(Tensor gate, Tensor up, Tensor y) = 0;
  virtual void swiglu_grad(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup) = 0;

  // y = max(x, 0), may alias x;  dx = dy where y > 0, may alias dy
  virtual void relu(Tensor x, Tensor y) = 0;
  virtual void relu_grad(Tensor y, Tensor dy, Tensor dx) = 0;

  // y[B,O,H,W] = conv(x[B,C,H,W], w[O,C,k,k]) + b[O], stride 1, zero padding
  // (b may be empty). dx = ...; dw += ...; db[O] += ... (db may be empty).
  virtual void conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) = 0;
  virtual void conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) = 0;
  virtual void conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db, ConvGeometry geometry) = 0;

  // 2x2, stride 2: x[B,C,H,W] -> y[B,C,H/2,W/2]; argmax i32 like y, flat index within the plane,
  // first of equals. dx = scatter of dy.
  virtual void maxpool2(Tensor x, Tensor y, Tensor argmax) = 0;
  virtual void maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx) = 0;

  // losses[M] = -log softmax(logits[M,V])[target]; 0 where target i32[M] is -1.
  // dlogits[M,V] = (softmax - onehot) * scale, 0 rows where target is -1; empty: not computed.
  // May alias logits. Returns how many rows had their target as the (first) largest logit.
  virtual std::int64_t softmax_cross_entropy(Tensor logits, Tensor targets, Tensor losses,
                                             Tensor dlogits, float scale) = 0;

  virtual void add(Tensor a, Tensor b, Tensor y) = 0;          // y = a + b, may alias
  virtual void fill(Tensor y, float value) = 0;
  virtual double squared_norm(Tensor x) = 0;                   // f64 accumulation
  virtual void scale(Tensor x, float factor) = 0;
  virtual void sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step) = 0;  // velocity empty if momentum 0
  virtual void adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step) = 0;
};

// Implementations keep scratch memory and primitive caches, so one per thread of use.
std::unique_ptr<Ops> make_ref_ops();
std::unique_ptr<Ops> make_cpu_ops();

}  // namespace covey
