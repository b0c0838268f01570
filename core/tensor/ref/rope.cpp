#include <cmath>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/element.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

void RefOps::rope(Tensor x, int direction, double base) {
  COVEY_CHECK(direction == 1 || direction == -1);
  const AttentionSize s = check_heads(x);
  const std::int64_t size = s.head_size, half = size / 2;
  for (std::int64_t row = 0; row < s.batch * s.length * s.heads; ++row) {
    const std::int64_t t = row / s.heads % s.length;
    const std::int64_t head = row * size;
    for (std::int64_t i = 0; i < half; ++i) {
      const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(size);
      const double angle = static_cast<double>(t) * std::pow(base, exponent);
      const double c = std::cos(angle), turn = direction * std::sin(angle);
      const double a = ref::at(x, head + i), b = ref::at(x, head + i + half);
      ref::put(x, head + i, a * c - b * turn);
      ref::put(x, head + i + half, b * c + a * turn);
    }
  }
}

}  // namespace covey
