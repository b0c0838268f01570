#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/element.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

void RefOps::maxpool2(Tensor x, Tensor y, Tensor argmax) {
  const auto [planes, height, width] = check_maxpool2(x, y, argmax);
  std::int64_t out = 0;
  for (std::int64_t p = 0; p < planes; ++p) {
    const std::int64_t plane = p * height * width;
    for (std::int64_t i = 0; i + 1 < height; i += 2) {
      for (std::int64_t j = 0; j + 1 < width; j += 2) {
        std::int64_t best = i * width + j;
        for (const std::int64_t at : {best + 1, best + width, best + width + 1})
          if (ref::at(x, plane + at) > ref::at(x, plane + best)) best = at;
        ref::put(y, out, ref::at(x, plane + best));
        argmax.i32()[out++] = static_cast<std::int32_t>(best);
      }
    }
  }
}

void RefOps::maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx) {
  const auto [planes, height, width] = check_maxpool2_grad(dy, argmax, dx);
  for (std::int64_t i = 0; i < dx.elements(); ++i) ref::put(dx, i, 0);
  const std::int64_t pooled = (height / 2) * (width / 2);
  for (std::int64_t p = 0; p < planes; ++p)
    for (std::int64_t i = p * pooled; i < (p + 1) * pooled; ++i) {
      COVEY_CHECK(argmax.i32()[i] >= 0 && argmax.i32()[i] < height * width);
      ref::put(dx, p * height * width + argmax.i32()[i], ref::at(dy, i));
    }
}

}  // namespace covey
