#include "core/nn/layer.h"

#include <algorithm>

namespace covey {
namespace {

// Null while measuring.
Tensor rows_of(Tensor whole, std::int64_t first, std::int64_t count) {
  const bool matrix = whole.shape.rank() == 2;
  const std::int64_t width = matrix ? whole.dim(1) : 1;
  COVEY_CHECK(whole.shape.rank() <= 2 && first + count <= whole.dim(0));
  void* data = whole.empty() ? nullptr : static_cast<std::byte*>(whole.data) + static_cast<std::size_t>(first * width) * size_of(whole.dtype);
  return {data, matrix ? Shape{count, width} : Shape{count}, whole.dtype, whole.device};
}

}  // namespace

Tensor cut(Tensor buffer, Shape shape) {
  COVEY_CHECK(shape.elements() <= buffer.elements());
  buffer.shape = shape;
  return buffer;
}

Parameter Parameter::rows(std::int64_t first, std::int64_t count) const {
  if (!exists()) return {};
  return {rows_of(value, first, count), trained() ? rows_of(gradient, first, count) : Tensor{},
          scales.shape.rank() > 0 ? rows_of(scales, first, count) : Tensor{}};
}

void Workspace::want(Slot slot, std::int64_t elements) {
  std::int64_t& most = elements_[static_cast<std::size_t>(slot)];
  most = std::max(most, elements);
}

void Workspace::take_from(Arena& arena) {
  for (std::size_t i = 0; i < kSlots; ++i) {
    const DType type = static_cast<Slot>(i) == Slot::kFloat ? DType::kF32 : activations_;
    if (elements_[i] > 0) buffers_[i] = arena.take({elements_[i]}, type);
  }
}

Tensor Workspace::get(Slot slot, Shape shape) const {
  return cut(buffers_[static_cast<std::size_t>(slot)], shape);
}

Tensor Workspace::other_flow(Tensor tensor, Shape shape) const {
  const bool in_first = tensor.data == buffers_[static_cast<std::size_t>(Slot::kFlow0)].data;
  return get(in_first ? Slot::kFlow1 : Slot::kFlow0, shape);
}

}  // namespace covey
