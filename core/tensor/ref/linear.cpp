#include <cmath>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/element.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {
namespace {

using ref::at;
using ref::put;

// An element of a weight as products with such activations see it.
double weight_at(Tensor w, std::int64_t i, DType activations) {
  const double value = at(w, i);
  return activations == DType::kBf16 ? double{to_float(from_float<Bf16>(static_cast<float>(value)))} : value;
}

}  // namespace

void RefOps::linear(Tensor x, Tensor w, Tensor b, Tensor y) {
  const auto [m, n, k] = check_linear(x, w, b, y);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t j = 0; j < n; ++j) {
      double sum = b.empty() ? 0.0 : at(b, j);
      for (std::int64_t l = 0; l < k; ++l) sum += at(x, i * k + l) * weight_at(w, j * k + l, x.dtype);
      put(y, i * n + j, sum);
    }
  }
}

void RefOps::linear_grad_input(Tensor dy, Tensor w, Tensor dx) {
  const auto [m, n, k] = check_linear(dx, w, {}, dy);
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t l = 0; l < k; ++l) {
      double sum = 0;
      for (std::int64_t j = 0; j < n; ++j) sum += at(dy, i * n + j) * weight_at(w, j * k + l, dy.dtype);
      put(dx, i * k + l, sum);
    }
  }
}

void RefOps::linear_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db) {
  const auto [m, n, k] = check_linear(x, dw, db, dy);
  for (std::int64_t j = 0; j < n; ++j) {
    for (std::int64_t l = 0; l < k; ++l) {
      double sum = at(dw, j * k + l);
      for (std::int64_t i = 0; i < m; ++i) sum += at(dy, i * n + j) * at(x, i * k + l);
      put(dw, j * k + l, sum);
    }
    if (db.empty()) continue;
    double sum = at(db, j);
    for (std::int64_t i = 0; i < m; ++i) sum += at(dy, i * n + j);
    put(db, j, sum);
  }
}

void RefOps::linears_grad_input(std::span<const GradientPart> parts, Tensor dx) {
  for (const GradientPart& part : parts) check_linear(dx, part.w, {}, part.dy);
  const std::int64_t k = dx.dim(dx.shape.rank() - 1), m = dx.elements() / k;
  for (std::int64_t i = 0; i < m; ++i) {
    for (std::int64_t l = 0; l < k; ++l) {
      double sum = 0;
      for (const auto& [dy, w, dw, db, into] : parts)
        for (std::int64_t n = w.dim(0), j = 0; j < n; ++j) sum += at(dy, i * n + j) * weight_at(w, j * k + l, dy.dtype);
      put(dx, i * k + l, sum);
    }
  }
}

// The reference multiplies weights as they are.
std::int64_t RefOps::packed_bytes(Shape, DType) { return 0; }
void RefOps::pack_weight(Tensor, DType, Tensor packed) { COVEY_CHECK(packed.elements() == 0); }
void RefOps::linear(Tensor x, Weight w, Tensor b, Tensor y) { linear(x, w.value, b, y); }
void RefOps::linear_grad_input(Tensor dy, Weight w, Tensor dx) { linear_grad_input(dy, w.value, dx); }

void RefOps::quantize_rows(Tensor w, Tensor codes, Tensor scales) {
  const auto [n, k] = check_codes(codes, scales);
  COVEY_CHECK(check_flat(w) == n * k);
  for (std::int64_t i = 0; i < n; ++i) {
    double largest = 0;
    for (std::int64_t j = 0; j < k; ++j) largest = std::max(largest, std::abs(at(w, i * k + j)));
    put(scales, i, largest / 127.0);
    const double scale = at(scales, i);
    for (std::int64_t j = 0; j < k; ++j)
      codes.as<std::int8_t>()[i * k + j] =
          static_cast<std::int8_t>(scale == 0 ? 0 : std::lrint(at(w, i * k + j) / scale));
  }
}

void RefOps::linear_i8(Tensor x, Tensor codes, Tensor scales, Tensor b, Tensor y) {
  std::vector<float> w = dequantized(codes, scales);
  linear(x, tensor_of(std::span(w), codes.shape), b, y);
}

void RefOps::linear_i8_grad_input(Tensor dy, Tensor codes, Tensor scales, Tensor dx) {
  std::vector<float> w = dequantized(codes, scales);
  linear_grad_input(dy, tensor_of(std::span(w), codes.shape), dx);
}

std::vector<float> RefOps::dequantized(Tensor codes, Tensor scales) {
  const auto [n, k] = check_codes(codes, scales);
  std::vector<float> w(static_cast<std::size_t>(n * k));
  for (std::int64_t i = 0; i < n * k; ++i)
    w[static_cast<std::size_t>(i)] = static_cast<float>(at(codes, i) * at(scales, i / k));
  return w;
}

}  // namespace covey
