// Embedding, normalisation, rotary positions, pooling and loss: one row at a time.
#include <algorithm>
#include <cmath>

#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {

void CpuOps::embedding(Tensor tokens, Tensor table, Tensor y) {
  const auto [m, d] = check_embedding(tokens, table, y);
  for (std::int64_t i = 0; i < m; ++i)
    std::copy_n(table.f32() + tokens.i32()[i] * d, d, y.f32() + i * d);
}

void CpuOps::embedding_grad(Tensor tokens, Tensor dy, Tensor dtable) {
  const auto [m, d] = check_embedding(tokens, dtable, dy);
  for (std::int64_t i = 0; i < m; ++i) {
    float* row = dtable.f32() + tokens.i32()[i] * d;
    kernels_.add(row, dy.f32() + i * d, row, d);
  }
}

void CpuOps::rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd) {
  const auto [m, d] = check_rmsnorm(x, g, y, rstd);
  kernels_.rmsnorm(x.f32(), g.f32(), y.f32(), rstd.f32(), m, d);
}

void CpuOps::rmsnorm_grad(Tensor x, Tensor g, Tensor rstd, Tensor dy, Tensor dx, Tensor dg) {
  const auto [m, d] = check_rmsnorm(x, g, dy, rstd);
  check_flat(x, dx);
  check_flat(g, dg);
  kernels_.rmsnorm_grad(x.f32(), g.f32(), rstd.f32(), dy.f32(), dx.f32(), dg.f32(), m, d);
}

const CpuOps::RopeTable& CpuOps::rope_table(std::int64_t length, std::int64_t half) {
  if (rope_.half == half && rope_.length >= length) return rope_;
  rope_ = {length, half, {}, {}};
  for (std::int64_t t = 0; t < length; ++t) {
    for (std::int64_t i = 0; i < half; ++i) {
      const double exponent = -static_cast<double>(i) / static_cast<double>(half);
      const double angle = static_cast<double>(t) * std::pow(10000.0, exponent);
      rope_.cosines.push_back(static_cast<float>(std::cos(angle)));
      rope_.sines.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return rope_;
}

void CpuOps::rope(Tensor x, int direction) {
  COVEY_CHECK(direction == 1 || direction == -1);
  const auto [batch, length, heads, size] = check_heads(x);
  const std::int64_t half = size / 2;
  const RopeTable& table = rope_table(length, half);
  for (std::int64_t row = 0; row < batch * length; ++row) {
    const std::int64_t t = row % length;
    kernels_.rope(x.f32() + row * heads * size, table.cosines.data() + t * half,
                  table.sines.data() + t * half, static_cast<float>(direction), heads, half);
  }
}

void CpuOps::maxpool2(Tensor x, Tensor y, Tensor argmax) {
  const auto [planes, height, width] = check_maxpool2(x, y, argmax);
  const std::int64_t pooled = (height / 2) * (width / 2);
  for (std::int64_t p = 0; p < planes; ++p)
    kernels_.maxpool2(x.f32() + p * height * width, y.f32() + p * pooled, argmax.i32() + p * pooled,
                      height, width);
}

void CpuOps::maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx) {
  const auto [planes, height, width] = check_maxpool2_grad(dy, argmax, dx);
  const std::int64_t pooled = (height / 2) * (width / 2);
  for (std::int64_t p = 0; p < planes; ++p) {
    float* plane = dx.f32() + p * height * width;
    std::fill_n(plane, height * width, 0.0F);  // plane by plane, so that it stays in the cache
    for (std::int64_t i = p * pooled; i < (p + 1) * pooled; ++i)
      plane[argmax.i32()[i]] += dy.f32()[i];
  }
}

std::int64_t CpuOps::softmax_cross_entropy(Tensor logits, Tensor targets, Tensor losses,
                                           Tensor dlogits, float scale) {
  const auto [m, v] = check_loss(logits, targets, losses, dlogits);
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < m; ++i) {
    const float* row = logits.f32() + i * v;
    float* out = dlogits.empty() ? nullptr : dlogits.f32() + i * v;
    const std::int32_t target = targets.i32()[i];
    if (target < 0) {
      losses.f32()[i] = 0;
      if (out != nullptr) std::fill_n(out, v, 0.0F);
      continue;
    }
    const float largest = kernels_.largest(row, v), chosen = row[target];
    // The first of equals wins.
    correct += chosen == largest && std::find(row, row + target, largest) == row + target;
    const double sum = kernels_.exp_sum(row, largest, out, v);  // overwrites row if aliased
    losses.f32()[i] = static_cast<float>(double{largest} + std::log(sum) - double{chosen});
    if (out == nullptr) continue;
    kernels_.scale(out, static_cast<float>(double{scale} / sum), v);
    out[target] -= scale;
  }
  return correct;
}

}  // namespace covey
