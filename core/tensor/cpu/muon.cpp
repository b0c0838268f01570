// Muon: the momentum of a matrix, made nearly orthogonal by Newton-Schulz steps (Jordan et al. 2024).
#include <algorithm>
#include <cmath>

#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {
namespace {

cpu::Operand whole(const float* data, std::int64_t columns, bool transposed) { return {data, columns, transposed, false}; }

}  // namespace

void CpuOps::muon(Tensor p, Tensor g, Tensor momentum, MuonStep step) {
  const auto [rows, columns] = check_muon(p, g, momentum);
  const std::int64_t n = rows * columns;
  const bool tall = rows > columns;  // the squares below are then of columns, the smaller side
  const std::int64_t small = std::min(rows, columns), large = std::max(rows, columns);
  float* room = scratch(2 * n + 2 * small * small + (n / 65'536 + 1) * 2);
  float *x = room, *next = x + n, *square = next + n, *sum = square + small * small;
  double squares = 0;
  for (std::int64_t i = 0; i < n; ++i) {  // in place: [rows, columns]
    const float gradient = g.f32()[i] * step.gradient_scale;
    const float moved = step.momentum * momentum.f32()[i] + gradient;
    momentum.f32()[i] = moved;
    x[i] = step.nesterov ? gradient + step.momentum * moved : moved;
    squares += double{x[i]} * double{x[i]};
  }
  const auto inverse = static_cast<float>(1.0 / (std::sqrt(squares) + 1e-7));
  kernels_.scale(x, inverse, n);
  // With X [small, large], transposed where tall: A = X X^T, X <- a X + (b A + c A A) X.
  for (int i = 0; i < kMuonSteps; ++i) {
    products_.multiply({.m = small, .n = small, .k = large, .a = whole(x, columns, tall), .b = whole(x, columns, !tall),
                        .c = square, .c_stride = small});
    products_.multiply({.m = small, .n = small, .k = small, .a = whole(square, small, false),
                        .b = whole(square, small, false), .c = sum, .c_stride = small});
    for (std::int64_t j = 0; j < small * small; ++j) sum[j] = kMuonB * square[j] + kMuonC * sum[j];
    for (std::int64_t j = 0; j < n; ++j) next[j] = kMuonA * x[j];
    if (tall)  // the product on the other side; `sum` is symmetric
      products_.multiply({.m = rows, .n = columns, .k = columns, .a = whole(x, columns, false),
                          .b = whole(sum, small, false), .c = next, .c_stride = columns, .accumulate = true});
    else
      products_.multiply({.m = rows, .n = columns, .k = rows, .a = whole(sum, small, false),
                          .b = whole(x, columns, false), .c = next, .c_stride = columns, .accumulate = true});
    std::swap(x, next);
  }
  const float rate = step.learning_rate * muon_scale(rows, columns);
  const float keep = 1.0F - step.learning_rate * step.weight_decay;
  for (std::int64_t i = 0; i < n; ++i) p.f32()[i] = p.f32()[i] * keep - rate * x[i];
}

}  // namespace covey
