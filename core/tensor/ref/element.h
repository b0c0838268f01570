// One element of a tensor of any type, as the reference reads and writes it.
#pragma once
#include "core/tensor/half.h"
#include "core/tensor/tensor.h"

namespace covey::ref {

inline double at(Tensor t, std::int64_t i) {
  switch (t.dtype) {
    case DType::kBf16: return double{to_float(t.as<Bf16>()[i])};
    case DType::kF16: return double{to_float(t.as<F16>()[i])};
    case DType::kI8: return t.as<std::int8_t>()[i];
    default: return double{t.f32()[i]};
  }
}

inline void put(Tensor t, std::int64_t i, double value) {
  const auto rounded = static_cast<float>(value);
  switch (t.dtype) {
    case DType::kBf16: t.as<Bf16>()[i] = from_float<Bf16>(rounded); return;
    case DType::kF16: t.as<F16>()[i] = from_float<F16>(rounded); return;
    default: t.f32()[i] = rounded; return;
  }
}

}  // namespace covey::ref
