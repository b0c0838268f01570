#include <cmath>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

void RefOps::rope(Tensor x, int direction) {
  COVEY_CHECK(direction == 1 || direction == -1);
  const auto [batch, length, heads, size] = check_heads(x);
  const std::int64_t half = size / 2;
  for (std::int64_t row = 0; row < batch * length * heads; ++row) {
    const std::int64_t t = row / heads % length;
    float* head = x.f32() + row * size;
    for (std::int64_t i = 0; i < half; ++i) {
      const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(size);
      const double angle = static_cast<double>(t) * std::pow(10000.0, exponent);
      const double c = std::cos(angle), s = direction * std::sin(angle);
      const double a = head[i], b = head[i + half];
      head[i] = static_cast<float>(a * c - b * s);
      head[i + half] = static_cast<float>(b * c + a * s);
    }
  }
}

}  // namespace covey
