#include "core/nn/layer.h"

#include <algorithm>

namespace covey {

Tensor cut(Tensor buffer, Shape shape) {
  COVEY_CHECK(shape.elements() <= buffer.elements());
  buffer.shape = shape;
  return buffer;
}

void Workspace::want(Slot slot, std::int64_t elements) {
  std::int64_t& most = elements_[static_cast<std::size_t>(slot)];
  most = std::max(most, elements);
}

void Workspace::take_from(Arena& arena) {
  for (std::size_t i = 0; i < kSlots; ++i)
    if (elements_[i] > 0) buffers_[i] = arena.take({elements_[i]});
}

Tensor Workspace::get(Slot slot, Shape shape) const {
  return cut(buffers_[static_cast<std::size_t>(slot)], shape);
}

Tensor Workspace::other_flow(Tensor tensor, Shape shape) const {
  const bool in_first = tensor.data == buffers_[static_cast<std::size_t>(Slot::kFlow0)].data;
  return get(in_first ? Slot::kFlow1 : Slot::kFlow0, shape);
}

}  // namespace covey
