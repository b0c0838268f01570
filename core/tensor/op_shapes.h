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
  std::int64_t batch, length, heads, head_size;
};
struct ConvSize {
  std::int64_t batch, in, out, height, width;      // of the input plane
  std::int64_t kernel, padding;
  std::int64_t out_height, out_width;
  bool operator==(const ConvSize&) const = default;
};
struct PoolSize {
  std::int64_t planes, height, width;  // of the input
};

// Number of elements, the same in all. Rank does not matter. Checks type, device, data.
std::int64_t check_flat(Tensor a);
std::int64_t check_flat(Tensor a, Tensor b);
std::int64_t check_flat(Tensor a, Tensor b, Tensor c);

LinearSize check_linear(Tensor x, Tensor w, Tensor b, Tensor y);
// Tokens must lie in [0, V): the data reader's promise.
MatrixSize check_embedding(Tensor tokens, Tensor table, Tensor y);
MatrixSize check_rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd);
AttentionSize check_heads(Tensor x);
AttentionSize check_attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse);
ConvSize check_conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry);
PoolSize check_maxpool2(Tensor x, Tensor y, Tensor argmax);
PoolSize check_maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx);
// Targets must lie in [-1, V).
MatrixSize check_loss(Tensor logits, Tensor targets, Tensor losses, Tensor dlogits);
std::int64_t check_sgd(Tensor p, Tensor g, Tensor velocity, SgdStep step);
std::int64_t check_adamw(Tensor p, Tensor g, Tensor m, Tensor v, AdamWStep step);

}  // namespace covey
