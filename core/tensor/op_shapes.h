// What every implementation of Ops demands of its tensors: shapes, types, device. The checks name
// the operation's own sizes, so that the kernels behind them work on plain numbers.
// Where a shape is written [M,K], leading dimensions may be folded: [B,T,K] has M = B*T.
#pragma once
#include <cstdint>

#include "core/tensor/ops.h"
#include "core/tensor/tensor.h"

namespace covey {

struct MatrixSize {
  std::int64_t rows, columns;
};
struct LinearSize {
  std::int64_t m, n, k;
};
struct AttentionSize {
  std::int64_t batch, length, heads, kv_heads, head_size;
};
struct ConvSize {
  std::int64_t batch, in, out, height, width;      // of the input plane
  std::int64_t kernel, padding;
  std::int64_t out_height, out_width;
  bool operator==(const ConvSize&) const = default;
};
// Whether an image has so few planes that each plane and tap of the kernel is one, in a convolution on tiles.
constexpr bool few_planes(std::int64_t planes, std::int64_t taps) { return planes <= 16 && taps > 1; }
struct ExampleSize {
  std::int64_t examples, rows, columns;  // rows: of each
};
struct PoolSize {
  std::int64_t planes, height, width;  // of the input
};

// Number of elements of activations, f32, bf16 or f16: the same number and type in all.
std::int64_t check_reals(Tensor a);
std::int64_t check_same(Tensor a, Tensor b, Tensor c);

// Number of elements, the same in all, f32. Rank does not matter. Checks type, device, data.
std::int64_t check_flat(Tensor a);
std::int64_t check_flat(Tensor a, Tensor b);
std::int64_t check_flat(Tensor a, Tensor b, Tensor c);

// y may be f32 where x is not; w is f32 or bf16.
LinearSize check_linear(Tensor x, Tensor w, Tensor b, Tensor y);
MatrixSize check_codes(Tensor codes, Tensor scales);
LinearSize check_head(const Ops::HeadLoss& head);  // k: the width
// Tokens must lie in [0, V): the data reader's promise.
MatrixSize check_embedding(Tensor tokens, Tensor table, Tensor y);
std::int64_t check_positions(Tensor y, Tensor positions);  // the length of y[B,T,D]
MatrixSize check_rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd);
AttentionSize check_heads(Tensor x);
AttentionSize check_attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse);
ConvSize check_conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry);
ConvSize check_depthwise(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry);
PoolSize check_maxpool2(Tensor x, Tensor y, Tensor argmax);
PoolSize check_maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx);
// x[M,N] with a number f32[B] for each example.
ExampleSize check_examples(Tensor x, Tensor numbers);
// Targets must lie in [-1, V).
MatrixSize check_loss(Tensor logits, Tensor targets, Tensor losses, Tensor dlogits, LossTerms terms);
std::int64_t check_sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step);
std::int64_t check_adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step, Tensor shadow);
MatrixSize check_muon(Tensor p, Tensor g, Tensor momentum);

// What every implementation makes of Dropout's settings: the coin of element i is a hash of i and the
// two keys, and drops it if below the threshold.
struct DropoutKey {
  std::uint32_t first, second, threshold;
  float factor;
};
DropoutKey dropout_key(Dropout coins);

// Coefficients of Muon's quintic step, and how its update is scaled.
constexpr float kMuonA = 3.4445F, kMuonB = -4.7750F, kMuonC = 2.0315F;
constexpr int kMuonSteps = 5;
float muon_scale(std::int64_t rows, std::int64_t columns);

}  // namespace covey
