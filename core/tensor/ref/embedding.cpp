#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

void RefOps::embedding(Tensor tokens, Tensor table, Tensor y) {
  const auto [m, d] = check_embedding(tokens, table, y);
  for (std::int64_t i = 0; i < m; ++i) {
    const float* row = table.f32() + tokens.i32()[i] * d;
    for (std::int64_t j = 0; j < d; ++j) y.f32()[i * d + j] = row[j];
  }
}

void RefOps::embedding_grad(Tensor tokens, Tensor dy, Tensor dtable) {
  const auto [m, d] = check_embedding(tokens, dtable, dy);
  for (std::int64_t i = 0; i < m; ++i) {
    float* row = dtable.f32() + tokens.i32()[i] * d;
    for (std::int64_t j = 0; j < d; ++j) row[j] += dy.f32()[i * d + j];
  }
}

}  // namespace covey
