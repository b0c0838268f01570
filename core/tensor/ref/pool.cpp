#include <algorithm>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

void RefOps::maxpool2(Tensor x, Tensor y, Tensor argmax) {
  const auto [planes, height, width] = check_maxpool2(x, y, argmax);
  float* out = y.f32();
  std::int32_t* index = argmax.i32();
  for (std::int64_t p = 0; p < planes; ++p) {
    const float* plane = x.f32() + p * height * width;
    for (std::int64_t i = 0; i + 1 < height; i += 2) {
      for (std::int64_t j = 0; j + 1 < width; j += 2) {
        std::int64_t best = i * width + j;
        for (const std::int64_t at : {best + 1, best + width, best + width + 1})
          if (plane[at] > plane[best]) best = at;
        *out++ = plane[best];
        *index++ = static_cast<std::int32_t>(best);
      }
    }
  }
}

void RefOps::maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx) {
  const auto [planes, height, width] = check_maxpool2_grad(dy, argmax, dx);
  std::fill_n(dx.f32(), dx.elements(), 0.0F);
  const std::int64_t pooled = (height / 2) * (width / 2);
  for (std::int64_t p = 0; p < planes; ++p)
    for (std::int64_t i = p * pooled; i < (p + 1) * pooled; ++i)
      dx.f32()[p * height * width + argmax.i32()[i]] += dy.f32()[i];
}

}  // namespace covey
