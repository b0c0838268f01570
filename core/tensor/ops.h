// The one table of operations. `ref` (scalar, f64 accumulation) is the specification; `cpu` and
// `cuda` are held against it by the same tests.
//
// Activations, and their gradients, are f32, bf16 or f16, all those of one call the same; sums are f32
// whatever they are. Parameters, their gradients and statistics are f32, all else unless said. A
// product whose activations are bf16 rounds its weight to bf16 too. "+=" marks
// outputs that are accumulated into, so that gradients of shared parameters and of accumulation
// steps add up; all other outputs are overwritten. Shapes are in comments, and leading dimensions
// may be folded into the first of [M, ...]; a mismatch is our bug (COVEY_CHECK). Outputs of
// elementwise operations may be one of their inputs (the same memory exactly); others are distinct.
#pragma once
#include <memory>
#include <span>

#include "core/base/result.h"
#include "core/tensor/team.h"
#include "core/tensor/tensor.h"

namespace covey {

struct ConvGeometry {
  std::int64_t kernel = 5;
  std::int64_t padding = 2;  // stride 1
};

// Optimizers multiply the gradient by gradient_scale as they read it: what clipping and loss scaling
// ask for needs no pass of its own.
struct AdamWStep {
  float learning_rate, beta1, beta2, epsilon, weight_decay;
  std::int64_t step;  // from 1, for bias correction
  float gradient_scale = 1;
};
struct SgdStep {
  float learning_rate, momentum, weight_decay;
  bool first;  // velocity starts as the gradient, as in PyTorch
  bool nesterov = false;
  float gradient_scale = 1;
};
struct LionStep {  // Chen et al. 2023
  float learning_rate, beta1, beta2, weight_decay;
  float gradient_scale = 1;
};
struct MuonStep {  // Jordan et al. 2024: momentum, made orthogonal by five Newton-Schulz steps
  float learning_rate, momentum, weight_decay;
  bool nesterov = true;
  float gradient_scale = 1;
};

enum class Gelu : std::uint8_t { kTanh, kExact };

// The coins of one use of dropout: of seed and stream (layer, step), and of the element's index alone.
struct Dropout {
  float rate;  // in [0, 1): the part that becomes 0; the rest is divided by 1 - rate
  std::uint64_t seed, stream;
};

struct LossTerms {
  float scale = 1;      // of dlogits
  float smoothing = 0;  // in [0, 1): this much of the target is spread evenly over all classes
};

enum class Bias : std::uint8_t { kNone, kCounts };  // whether a norm is of the bias's gradient too

// A weight [N,K] and, where pack_weight() made it, its packed form; for every linear of a step.
struct Weight {
  Tensor value;   // f32, or bf16 where it is frozen
  Tensor packed;  // u8 [packed_bytes()], may be empty
};

enum class Into : std::uint8_t { kAdd, kSet };  // whether what a gradient holds counts, or may be anything

// Rows and classes that head_loss multiplies at once, at most.
inline constexpr std::int64_t kHeadRows = 1024, kHeadColumns = 2048;

inline constexpr double kNormEpsilon = 1e-5;  // of norms, where nothing else is said

// What conv2d_pool_example_grads() keeps of each image, for a weight [O,C,k,k] and its bias.
std::int64_t conv_example_floats(Shape weight);

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
  // The same where dw holds nothing yet: dw = ..., db += ... Returns squared_norm(dw).
  virtual double linear_first_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db) {
    fill(dw, 0);
    linear_grad_weight(dy, x, dw, db);
    return squared_norm(dw.reshaped({dw.elements()}));
  }

  // The same of up to three weights at once, none of them packed; what they share is prepared once.
  struct LinearPart {
    Tensor w, b, y;  // y = x w^T + b
  };
  virtual void linears(Tensor x, std::span<const LinearPart> parts) {
    for (const LinearPart& part : parts) linear(x, part.w, part.b, part.y);
  }
  struct GradientPart {
    Tensor dy, w;
    Tensor dw{}, db{};
    Into into = Into::kAdd;  // of dw; the same in all parts of a call
  };
  // dx[M,K] = the sum over parts of dy w
  virtual void linears_grad_input(std::span<const GradientPart> parts, Tensor dx) = 0;
  // dw += dy^T x, or with kSet = that, db += column sums of dy, of each part. Returns the squares of what it set.
  virtual double linears_grad_weight(std::span<const GradientPart> parts, Tensor x) {
    double squares = 0;
    for (const GradientPart& part : parts) {
      if (part.into == Into::kSet)
        squares += linear_first_grad_weight(part.dy, x, part.dw, part.db);
      else
        linear_grad_weight(part.dy, x, part.dw, part.db);
    }
    return squares;
  }

  // The same with a packed weight. pack_weight() must be called again when the weight changed.
  // packed_bytes: 0 where this implementation has no packed form for such activations.
  virtual std::int64_t packed_bytes(Shape weight, DType activations) = 0;
  virtual void pack_weight(Tensor w, DType activations, Tensor packed) = 0;
  virtual void linear(Tensor x, Weight w, Tensor b, Tensor y) = 0;
  virtual void linear_grad_input(Tensor dy, Weight w, Tensor dx) = 0;

  // A frozen weight in bytes: w[N,K] = codes i8[N,K] * scales[N], codes in [-127, 127], scales the
  // largest magnitude of each row / 127.
  virtual void quantize_rows(Tensor w, Tensor codes, Tensor scales) = 0;
  virtual void linear_i8(Tensor x, Tensor codes, Tensor scales, Tensor b, Tensor y) = 0;
  virtual void linear_i8_grad_input(Tensor dy, Tensor codes, Tensor scales, Tensor dx) = 0;

  // Elements of one type of activation, as another.
  virtual void convert(Tensor x, Tensor y) = 0;

  // y[M,D] = table[V,D] at tokens i32[M];  dtable[V,D] += dy[M,D]
  virtual void embedding(Tensor tokens, Tensor table, Tensor y) = 0;
  virtual void embedding_grad(Tensor tokens, Tensor dy, Tensor dtable) = 0;

  // y[B,T,D] = table[V,D] at tokens i32[B,T] + positions[T',D] at t, T <= T'.
  virtual void embedding_at(Tensor tokens, Tensor table, Tensor positions, Tensor y) = 0;
  // dpositions[T',D] += sums of dy[B,T,D] over B; dtable is embedding_grad's.
  virtual void positions_grad(Tensor dy, Tensor dpositions) = 0;

  // y[M,D] = x * rstd * g[D], rstd[M] = 1/sqrt(mean(x^2) + epsilon)  (Zhang and Sennrich 2019)
  virtual void rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd, double epsilon = kNormEpsilon) = 0;
  // dx[M,D] += ...; dg[D] += ...
  virtual void rmsnorm_grad(Tensor x, Tensor g, Tensor rstd, Tensor dy, Tensor dx, Tensor dg) = 0;

  // sum = a + b, y = norm of sum, in one pass; sum may be a or b.
  virtual void add_rmsnorm(Tensor a, Tensor b, Tensor sum, Tensor g, Tensor y, Tensor rstd,
                           double epsilon = kNormEpsilon) = 0;

  // y[M,D] = (x - mean) * rstd * g[D] + b[D], mean[M], rstd[M] = 1/sqrt(variance + epsilon)  (Ba et al. 2016)
  virtual void layernorm(Tensor x, Tensor g, Tensor b, Tensor y, Tensor mean, Tensor rstd,
                         double epsilon = kNormEpsilon) = 0;
  virtual void add_layernorm(Tensor a, Tensor x, Tensor sum, Tensor g, Tensor b, Tensor y, Tensor mean,
                             Tensor rstd, double epsilon = kNormEpsilon) = 0;
  // dx[M,D] += ...; dg[D] += ...; db[D] += ...
  virtual void layernorm_grad(Tensor x, Tensor g, Tensor mean, Tensor rstd, Tensor dy, Tensor dx, Tensor dg,
                              Tensor db) = 0;

  // Rotary positions in place on x[B,T,H,Dh], pairs (i, i + Dh/2) as in Hugging Face's Llama, where base
  // is its rope_theta. direction +1 forward, -1 for the gradient.
  virtual void rope(Tensor x, int direction, double base) = 0;
  void rope(Tensor x, int direction) { rope(x, direction, 10'000); }

  // Causal attention. q, y [B,T,H,Dh]; k, v [B,T,G,Dh] where G divides H: head h uses k and v of h*G/H
  // (grouped queries, Ainslie et al. 2023). Scale 1/sqrt(Dh); lse[B,H,T] = log-sum-exp of scores.
  virtual void attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse) = 0;
  virtual void attention_grad(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse, Tensor dy,
                              Tensor dq, Tensor dk, Tensor dv) = 0;

  // y = silu(gate) * up, all [M,F]
  virtual void swiglu(Tensor gate, Tensor up, Tensor y) = 0;
  // y, where it is not empty, is what swiglu made, once more; it may alias dy.
  virtual void swiglu_grad(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup, Tensor y) = 0;
  void swiglu_grad(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup) { swiglu_grad(gate, up, dy, dgate, dup, {}); }

  // y = x * Phi(x), Phi the normal distribution's, or its approximation by tanh (Hendrycks and Gimpel 2016).
  // Either dx or y may alias dy; y, where it is not empty, is what gelu made, once more.
  virtual void gelu(Tensor x, Tensor y, Gelu kind) = 0;
  virtual void gelu_grad(Tensor x, Tensor dy, Tensor dx, Gelu kind, Tensor y) = 0;
  void gelu_grad(Tensor x, Tensor dy, Tensor dx, Gelu kind) { gelu_grad(x, dy, dx, kind, {}); }

  // y = x / (1 - rate) where the coin says so, else 0. The gradient is the same operation on dy.
  virtual void dropout(Tensor x, Tensor y, Dropout coins) = 0;

  // y = max(x, 0), may alias x;  dx = dy where y > 0, may alias dy
  virtual void relu(Tensor x, Tensor y) = 0;
  virtual void relu_grad(Tensor y, Tensor dy, Tensor dx) = 0;

  // y[B,O,H,W] = conv(x[B,C,H,W], w[O,C,k,k]) + b[O], stride 1, zero padding
  // (b may be empty). dx = ...; dw += ...; db[O] += ... (db may be empty).
  virtual void conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) = 0;
  virtual void conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) = 0;
  virtual void conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db, ConvGeometry geometry) = 0;

  // Each plane on its own: y[B,C,H,W] = conv(x[B,C,H,W], w[C,1,k,k]) + b[C], the rest as conv2d.
  virtual void depthwise_conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) = 0;
  virtual void depthwise_conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) = 0;
  virtual void depthwise_conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db, ConvGeometry geometry) = 0;

  // 2x2, stride 2: x[B,C,H,W] -> y[B,C,H/2,W/2]; argmax i32 like y, flat index within the plane,
  // first of equals. dx = dy at its window's argmax, else 0; argmax is what maxpool2 made.
  virtual void maxpool2(Tensor x, Tensor y, Tensor argmax) = 0;
  virtual void maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx) = 0;

  // y = max(maxpool2(conv2d(x, w, b)), 0). `conv`, of the convolution's shape, may be used for it or not.
  virtual void conv2d_pool(Tensor x, Tensor w, Tensor b, Tensor conv, Tensor y, Tensor argmax, ConvGeometry geometry) {
    conv2d(x, w, b, conv, geometry);
    maxpool2(conv, y, argmax);
    relu(y, y);
  }

  // Its gradients: dw += ..., db += ..., dx = ..., each of which may be empty; `dy` is of y. dy and `conv` may be
  // used for what is between.
  struct ConvPoolGrad {
    Tensor x, w, y, argmax, dy, conv, dw, db, dx;
    ConvGeometry geometry;
  };
  virtual void conv2d_pool_grad(const ConvPoolGrad& grad) {
    relu_grad(grad.y, grad.dy, grad.dy);
    maxpool2_grad(grad.dy, grad.argmax, grad.conv);
    if (!grad.dw.empty()) conv2d_grad_weight(grad.conv, grad.x, grad.dw, grad.db, grad.geometry);
    if (!grad.dx.empty()) conv2d_grad_input(grad.conv, grad.w, grad.dx, grad.geometry);
  }

  // The same with the gradients by w and b apart for each image, for clipping: `kept` f32
  // [B, conv_example_floats(w)] takes them, in an order of the implementation's own, and squares f32[B] +=
  // their L2 norms squared. dw and db are not touched; db empty: none is made.
  virtual void conv2d_pool_example_grads(const ConvPoolGrad& grad, Tensor kept, Tensor squares);
  // dw += and db += what the same call kept, each image's times its factor f32[B].
  virtual void add_conv_examples(const ConvPoolGrad& grad, Tensor kept, Tensor factors);

  // losses[M] = -log softmax(logits[M,V])[target]; 0 where target i32[M] is -1.
  // dlogits[M,V] = (softmax - onehot) * scale, 0 rows where target is -1; empty: not computed.
  // May alias logits. Returns how many rows had their target as the (first) largest logit.
  // With smoothing e, losses[M] += e * (mean over V of -log softmax - that of the target).
  virtual std::int64_t softmax_cross_entropy(Tensor logits, Tensor targets, Tensor losses,
                                             Tensor dlogits, LossTerms terms) = 0;
  std::int64_t softmax_cross_entropy(Tensor logits, Tensor targets, Tensor losses, Tensor dlogits, float scale) {
    return softmax_cross_entropy(logits, targets, losses, dlogits, LossTerms{scale, 0});
  }

  // The loss of logits = x[M,D] w[V,D]^T and its gradients, never holding all the logits:
  // dx[M,D] = dlogits w; dw[V,D] += dlogits^T x, or with kSet = that. dx empty: losses only, and dw is not touched.
  struct HeadLoss {
    Tensor x, w, targets, losses, dx, dw;  // w f32
    LossTerms terms;
    Into into = Into::kAdd;
    // Room of bf16 [min(M, kHeadRows), V], or empty: with it bf16 logits of more than kHeadColumns classes are multiplied
    // once for both losses and gradients, without it twice.
    Tensor kept{};
  };
  virtual std::int64_t head_loss(const HeadLoss& head) = 0;

  // What clipping each example's gradient asks for (Bu et al. 2023). The rows of x[M,...] are those of B
  // examples, M/B of each, one behind the other. squares f32[B] += are of L2 norms.
  // Of each example's part of x.
  virtual void example_squares(Tensor x, Tensor squares) = 0;
  // Of what linear_grad_weight adds for each example to dw and, kCounts, to db.
  virtual void linear_grad_squares(Tensor dy, Tensor x, Bias bias, Tensor squares) = 0;
  // Of what embedding_grad adds for each example. tokens i32[M]
  virtual void embedding_grad_squares(Tensor tokens, Tensor dy, Tensor squares) = 0;
  // What both together have beyond the two apart where a head's weight is the embedding: twice the inner
  // product of each example's dlogits[M,V]^T x[M,D] and embedding_grad of dy[M,D]. May be negative.
  virtual void tied_grad_squares(Tensor dlogits, Tensor x, Tensor tokens, Tensor dy, Tensor squares) = 0;
  // x[M,N] *= factors f32[B], each of its example.
  virtual void scale_examples(Tensor x, Tensor factors) = 0;

  virtual void add(Tensor a, Tensor b, Tensor y) = 0;          // y = a + b, may alias
  virtual void fill(Tensor y, float value) = 0;
  virtual double squared_norm(Tensor x) = 0;                   // f64 accumulation
  virtual void scale(Tensor x, float factor) = 0;
  virtual void sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step) = 0;  // velocity empty if momentum 0
  // shadow: bf16, the new p rounded; may be empty.
  virtual void adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step, Tensor shadow) = 0;
  void adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step) { adamw(p, g, m, v, step, {}); }
  virtual void lion(Tensor p, Tensor g, Tensor m, LionStep step) = 0;
  // p, g, momentum [R,C]. The update is scaled by sqrt(max(1, R/C)).
  virtual void muon(Tensor p, Tensor g, Tensor momentum, MuonStep step) = 0;
};

// Implementations keep scratch memory and primitive caches, so one per thread of use.
std::unique_ptr<Ops> make_ref_ops();
std::unique_ptr<Ops> make_cpu_ops();           // on the calling thread alone
std::unique_ptr<Ops> make_cpu_ops(Team& team);  // `team` outlives it

}  // namespace covey
