#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/element.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

using ref::at;
using ref::put;

void RefOps::embedding(Tensor tokens, Tensor table, Tensor y) {
  const auto [m, d] = check_embedding(tokens, table, y);
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < d; ++j) put(y, i * d + j, at(table, tokens.i32()[i] * d + j));
}

void RefOps::embedding_grad(Tensor tokens, Tensor dy, Tensor dtable) {
  const auto [m, d] = check_embedding(tokens, dtable, dy);
  for (std::int64_t i = 0; i < m; ++i) {
    float* row = dtable.f32() + tokens.i32()[i] * d;
    for (std::int64_t j = 0; j < d; ++j) row[j] += static_cast<float>(at(dy, i * d + j));
  }
}

void RefOps::embedding_at(Tensor tokens, Tensor table, Tensor positions, Tensor y) {
  const auto [m, d] = check_embedding(tokens, table, y);
  const std::int64_t length = check_positions(y, positions);
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < d; ++j)
      put(y, i * d + j, at(table, tokens.i32()[i] * d + j) + at(positions, i % length * d + j));
}

void RefOps::positions_grad(Tensor dy, Tensor dpositions) {
  const std::int64_t length = check_positions(dy, dpositions), row = length * dy.dim(2);
  for (std::int64_t i = 0; i < row; ++i) {
    double sum = at(dpositions, i);
    for (std::int64_t b = 0; b < dy.dim(0); ++b) sum += at(dy, b * row + i);
    put(dpositions, i, sum);
  }
}

}  // namespace covey
