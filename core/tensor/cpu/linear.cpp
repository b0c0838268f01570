#include <algorithm>
#include <array>
#include <cmath>

#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {
namespace {

cpu::Operand operand(Tensor t, std::int64_t columns, bool transposed) {
  return {t.data, columns, transposed, t.dtype == DType::kBf16};
}

bool is_bf16(Tensor t) { return t.dtype == DType::kBf16; }

// Packed for the forward product, then for the gradient of the input.
const std::uint16_t* forward_of(Weight w) { return static_cast<const std::uint16_t*>(w.packed.data); }

}  // namespace

// Products of f16 are computed in f32: few processors have instructions for it.
Tensor CpuOps::widened(Tensor x, float* room) {
  Tensor wide{room, x.shape, DType::kF32, Device::kCpu};
  convert(x, wide);
  return wide;
}

std::int64_t CpuOps::packed_bytes(Shape weight, DType activations) {
  COVEY_CHECK(weight.rank() == 2 && is_real(activations));
  const bool bf16 = activations == DType::kBf16;
  const std::int64_t n = weight[0], k = weight[1];
  return 2 * (products_.packed_elements(n, k, bf16) + products_.packed_elements(k, n, bf16));
}

void CpuOps::pack_weight(Tensor w, DType activations, Tensor packed) {
  COVEY_CHECK(packed.dtype == DType::kU8 && packed.elements() == packed_bytes(w.shape, activations));
  COVEY_CHECK(w.dtype == DType::kF32 || w.dtype == DType::kBf16);
  if (packed.elements() == 0) return;
  const bool bf16 = activations == DType::kBf16;
  const std::int64_t n = w.dim(0), k = w.dim(1);
  auto* to = static_cast<std::uint16_t*>(packed.data);
  products_.pack(operand(w, k, true), n, k, bf16, to);
  products_.pack(operand(w, k, false), k, n, bf16, to + products_.packed_elements(n, k, bf16));
}

void CpuOps::linear(Tensor x, Tensor w, Tensor b, Tensor y) { linear(x, Weight{w, {}}, b, y); }

void CpuOps::linear(Tensor x, Weight w, Tensor b, Tensor y) {
  const auto [m, n, k] = check_linear(x, w.value, b, y);
  if (x.dtype == DType::kF16) {
    float* room = scratch(m * (k + n));
    const Tensor wide{room + m * k, y.shape, DType::kF32, Device::kCpu};
    linear(widened(x, room), w, b, wide);
    return convert(wide, y);
  }
  if (w.packed.empty() && w.value.dtype == DType::kF32 && few_rows_.serve({m, n, k}, x.dtype))
    return few_rows_.forward({m, n, k}, x, w.value, b.empty() ? nullptr : b.f32(), y);
  products_.multiply({.m = m, .n = n, .k = k,
                      .a = operand(x, k, false), .b = operand(w.value, k, true),
                      .c = y.data, .c_stride = n, .c_bf16 = is_bf16(y),
                      .bias = b.empty() ? nullptr : b.f32(), .packed_b = forward_of(w)});
}

void CpuOps::linear_grad_input(Tensor dy, Tensor w, Tensor dx) { linear_grad_input(dy, Weight{w, {}}, dx); }

void CpuOps::linear_grad_input(Tensor dy, Weight w, Tensor dx) {
  const auto [m, n, k] = check_linear(dx, w.value, {}, dy);
  if (dy.dtype == DType::kF16) {
    float* room = scratch(m * (k + n));
    const Tensor wide{room + m * n, dx.shape, DType::kF32, Device::kCpu};
    linear_grad_input(widened(dy, room), w, wide);
    return convert(wide, dx);
  }
  if (w.packed.empty() && w.value.dtype == DType::kF32 && few_rows_.serve({m, n, k}, dy.dtype))
    return few_rows_.grad_input({m, n, k}, dy, w.value, dx);
  const std::uint16_t* packed = forward_of(w);
  if (packed != nullptr) packed += products_.packed_elements(n, k, is_bf16(dy));
  products_.multiply({.m = m, .n = k, .k = n,
                      .a = operand(dy, n, false), .b = operand(w.value, k, false),
                      .c = dx.data, .c_stride = k, .c_bf16 = is_bf16(dx), .packed_b = packed});
}

void CpuOps::linear_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db) {
  const auto [m, n, k] = check_linear(x, dw, db, dy);
  if (m == 0) return;
  if (dy.dtype == DType::kF16) {
    float* room = scratch(m * (k + n));
    linear_grad_weight(widened(dy, room), widened(x, room + m * n), dw, {});
  } else if (few_rows_.serve({m, n, k}, dy.dtype)) {
    few_rows_.grad_weight({m, n, k}, dy, x, dw.f32(), cpu::FewRows::Into::kAdd);
  } else {
    products_.multiply({.m = n, .n = k, .k = m,
                        .a = operand(dy, n, true), .b = operand(x, k, false),
                        .c = dw.data, .c_stride = k, .accumulate = true});
  }
  if (!db.empty()) add_column_sums(dy, m, n, db.f32());
}

double CpuOps::linear_first_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db) {
  const auto [m, n, k] = check_linear(x, dw, db, dy);
  if (!few_rows_.serve({m, n, k}, dy.dtype)) return Ops::linear_first_grad_weight(dy, x, dw, db);
  const double squares = few_rows_.grad_weight({m, n, k}, dy, x, dw.f32(), cpu::FewRows::Into::kSet);
  if (!db.empty()) add_column_sums(dy, m, n, db.f32());
  return squares;
}

void CpuOps::linears(Tensor x, std::span<const LinearPart> parts) {
  COVEY_CHECK(!parts.empty() && parts.size() <= cpu::kTogether);
  std::array<cpu::Product, cpu::kTogether> products{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto& [w, b, y] = parts[i];
    const auto [m, n, k] = check_linear(x, w, b, y);
    products[i] = {.m = m, .n = n, .k = k,
                   .a = operand(x, k, false), .b = operand(w, k, true),
                   .c = y.data, .c_stride = n, .c_bf16 = is_bf16(y), .bias = b.empty() ? nullptr : b.f32()};
  }
  const bool together = x.dtype != DType::kF16 && products_.multiply(std::span(products).first(parts.size()), cpu::Shared::kLeft);
  if (!together) Ops::linears(x, parts);
}

void CpuOps::linears_grad_input(std::span<const GradientPart> parts, Tensor dx) {
  COVEY_CHECK(!parts.empty() && parts.size() <= cpu::kTogether);
  std::array<cpu::Product, cpu::kTogether> products{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto [m, n, k] = check_linear(dx, parts[i].w, {}, parts[i].dy);
    products[i] = {.m = m, .n = k, .k = n,
                   .a = operand(parts[i].dy, n, false), .b = operand(parts[i].w, k, false),
                   .c = dx.data, .c_stride = k, .c_bf16 = is_bf16(dx)};
  }
  constexpr std::int64_t kDeep = 512;  // inputs' gradients from fewer outputs gain nothing by being one product
  std::int64_t outputs = 0;
  for (const GradientPart& part : parts) outputs += part.w.dim(0);
  if (dx.dtype != DType::kF16 && outputs >= kDeep && products_.multiply(std::span(products).first(parts.size()), cpu::Shared::kSum)) return;
  linear_grad_input(parts[0].dy, parts[0].w, dx);
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const std::size_t bytes = static_cast<std::size_t>(dx.elements()) * size_of(dx.dtype);
    if (summand_.capacity() < bytes) summand_ = Arena(bytes);
    summand_.rewind(0);
    const Tensor summand = summand_.take(dx.shape, dx.dtype);
    linear_grad_input(parts[i].dy, parts[i].w, summand);
    add(dx, summand, dx);
  }
}

double CpuOps::linears_grad_weight(std::span<const GradientPart> parts, Tensor x) {
  COVEY_CHECK(!parts.empty() && parts.size() <= cpu::kTogether);
  const bool set = parts[0].into == Into::kSet;
  std::array<cpu::Product, cpu::kTogether> products{};
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto& [dy, w, dw, db, into] = parts[i];
    COVEY_CHECK((into == Into::kSet) == set);
    const auto [m, n, k] = check_linear(x, dw, db, dy);
    products[i] = {.m = n, .n = k, .k = m,
                   .a = operand(dy, n, true), .b = operand(x, k, false),
                   .c = dw.data, .c_stride = k, .accumulate = !set};
  }
  double squares = 0;
  const auto given = std::span(products).first(parts.size());
  const bool together = x.dtype != DType::kF16 && products_.multiply(given, cpu::Shared::kRight, set ? &squares : nullptr);
  if (!together) return Ops::linears_grad_weight(parts, x);
  for (const GradientPart& part : parts)
    if (!part.db.empty()) add_column_sums(part.dy, part.dy.elements() / part.dw.dim(0), part.dw.dim(0), part.db.f32());
  return squares;
}

void CpuOps::add_column_sums(Tensor x, std::int64_t m, std::int64_t n, float* sums) {
  constexpr std::int64_t kRows = 4 * 64, kColumns = 128;  // four of the kernel's blocks, and one
  const std::int64_t strips = (m + kRows - 1) / kRows;
  if (strips == 1 || n < kColumns) {
    cpu::with_type(x.dtype, [&]<class T>(T) { cpu::typed<T>(kernels_).column_sums(x.as<T>(), m, n, sums); });
    return;
  }
  // Strips of rows apart, then added in their order.
  float* parts = scratch(strips * n);
  std::fill_n(parts, strips * n, 0.0F);
  cpu::share(team_, m, kRows, [&](std::int64_t row, std::int64_t rows, int) {
    cpu::with_type(x.dtype, [&]<class T>(T) {
      cpu::typed<T>(kernels_).column_sums(x.as<T>() + row * n, rows, n, parts + row / kRows * n);
    });
  });
  for (std::int64_t i = 0; i < strips; ++i) kernels_.f32.accumulate(parts + i * n, sums, n);
}

void CpuOps::quantize_rows(Tensor w, Tensor codes, Tensor scales) {
  const auto [n_here, k_here] = check_codes(codes, scales);
  const std::int64_t n = n_here, k = k_here;  // clang lets no lambda use a binding
  COVEY_CHECK(check_flat(w) == n * k);
  cpu::share(team_, n, cpu::piece_rows(k), [&](std::int64_t row, std::int64_t rows, int) {
    for (std::int64_t i = row; i < row + rows; ++i) {
      const float* from = w.f32() + i * k;
      float largest = 0;
      for (std::int64_t j = 0; j < k; ++j) largest = std::max(largest, std::abs(from[j]));
      const float scale = largest / 127.0F;
      scales.f32()[i] = scale;
      for (std::int64_t j = 0; j < k; ++j)
        codes.as<std::int8_t>()[i * k + j] =
            static_cast<std::int8_t>(scale == 0 ? 0 : std::lrint(std::clamp(from[j] / scale, -127.0F, 127.0F)));
    }
  });
}

// The weight of one product at a time, as f32.
float* CpuOps::dequantized(Tensor codes, Tensor scales) {
  const auto [n_here, k_here] = check_codes(codes, scales);
  const std::int64_t n = n_here, k = k_here;  // clang lets no lambda use a binding
  const std::size_t bytes = static_cast<std::size_t>(n * k) * sizeof(float);
  if (dequantized_.capacity() < bytes) {
    dequantized_ = Arena(bytes);
    dequantized_data_ = dequantized_.take({n * k}).f32();
  }
  cpu::share(team_, n, cpu::piece_rows(k), [&](std::int64_t row, std::int64_t rows, int) {
    for (std::int64_t i = row; i < row + rows; ++i) {
      const std::int8_t* from = codes.as<std::int8_t>() + i * k;
      for (std::int64_t j = 0; j < k; ++j) dequantized_data_[i * k + j] = static_cast<float>(from[j]) * scales.f32()[i];
    }
  });
  return dequantized_data_;
}

void CpuOps::linear_i8(Tensor x, Tensor codes, Tensor scales, Tensor b, Tensor y) {
  linear(x, Tensor{dequantized(codes, scales), codes.shape, DType::kF32, Device::kCpu}, b, y);
}

void CpuOps::linear_i8_grad_input(Tensor dy, Tensor codes, Tensor scales, Tensor dx) {
  linear_grad_input(dy, Tensor{dequantized(codes, scales), codes.shape, DType::kF32, Device::kCpu}, dx);
}

}  // namespace covey
