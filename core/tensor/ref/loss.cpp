#include <algorithm>
#include <cmath>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

std::int64_t RefOps::softmax_cross_entropy(Tensor logits, Tensor targets, Tensor losses,
                                           Tensor dlogits, float scale) {
  const auto [m, v] = check_loss(logits, targets, losses, dlogits);
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    const float* row = logits.f32() + i * v;
    float* out = dlogits.empty() ? nullptr : dlogits.f32() + i * v;
    const std::int32_t target = targets.i32()[i];
    losses.f32()[i] = 0;
    if (target < 0) {
      if (out != nullptr) std::fill_n(out, v, 0.0F);
      continue;
    }
    const float* best = std::max_element(row, row + v);  // the first of equals
    const double largest = *best;
    correct += best - row == target;
    double sum = 0;
    for (std::int64_t j = 0; j < v; ++j) sum += std::exp(row[j] - largest);
    losses.f32()[i] = static_cast<float>(largest + std::log(sum) - row[target]);
    if (out == nullptr) continue;
    for (std::int64_t j = 0; j < v; ++j) {
      const double p = std::exp(row[j] - largest) / sum;
      out[j] = static_cast<float>((p - (j == target ? 1.0 : 0.0)) * scale);
    }
  }
  return correct;
}

}  // namespace covey
