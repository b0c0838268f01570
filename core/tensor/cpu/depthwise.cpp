// Convolution of each plane on its own: one shifted row added after the other.
#include <algorithm>

#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {
namespace {

// Where row `y + i` of a padded plane and its columns shifted by `j` meet the output.
struct Overlap {
  std::int64_t in_row, in_column, out_column, count;  // count 0: nowhere
};
Overlap overlap(const ConvSize& s, std::int64_t y, std::int64_t i, std::int64_t j) {
  const std::int64_t row = y + i - s.padding, shift = j - s.padding;
  if (row < 0 || row >= s.height) return {0, 0, 0, 0};
  const std::int64_t from = std::max<std::int64_t>(0, -shift), to = std::min(s.out_width, s.width - shift);
  return {row, from + shift, from, std::max<std::int64_t>(0, to - from)};
}

template <class Work>
void for_overlaps(const ConvSize& s, Work work) {  // work(overlap, output row, place in the kernel)
  for (std::int64_t y = 0; y < s.out_height; ++y)
    for (std::int64_t i = 0; i < s.kernel; ++i)
      for (std::int64_t j = 0; j < s.kernel; ++j)
        if (const Overlap o = overlap(s, y, i, j); o.count > 0) work(o, y, i * s.kernel + j);
}

// Inputs with equal elements apart by one are not the same memory, so the loops need no check.
void add_scaled(const float* x, float factor, float* y, std::int64_t n) {
#pragma omp simd
  for (std::int64_t i = 0; i < n; ++i) y[i] += x[i] * factor;
}
float product_sum(const float* x, const float* y, std::int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (std::int64_t i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

}  // namespace

void CpuOps::depthwise_conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) {
  const ConvSize s = check_depthwise(x, w, b, y, geometry);
  const std::int64_t in = s.height * s.width, out = s.out_height * s.out_width, taps = s.kernel * s.kernel;
  cpu::share(team_, s.batch * s.in, cpu::piece_rows(in), [&](std::int64_t first, std::int64_t count, int) {
    for (std::int64_t p = first; p < first + count; ++p) {
      const float *from = x.f32() + p * in, *kernel = w.f32() + p % s.in * taps;
      float* to = y.f32() + p * out;
      std::fill_n(to, out, b.empty() ? 0.0F : b.f32()[p % s.in]);
      for_overlaps(s, [&](const Overlap& o, std::int64_t row, std::int64_t tap) {
        add_scaled(from + o.in_row * s.width + o.in_column, kernel[tap], to + row * s.out_width + o.out_column, o.count);
      });
    }
  });
}

void CpuOps::depthwise_conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) {
  const ConvSize s = check_depthwise(dx, w, {}, dy, geometry);
  const std::int64_t in = s.height * s.width, out = s.out_height * s.out_width, taps = s.kernel * s.kernel;
  cpu::share(team_, s.batch * s.in, cpu::piece_rows(in), [&](std::int64_t first, std::int64_t count, int) {
    for (std::int64_t p = first; p < first + count; ++p) {
      const float *from = dy.f32() + p * out, *kernel = w.f32() + p % s.in * taps;
      float* to = dx.f32() + p * in;
      std::fill_n(to, in, 0.0F);
      for_overlaps(s, [&](const Overlap& o, std::int64_t row, std::int64_t tap) {
        add_scaled(from + row * s.out_width + o.out_column, kernel[tap], to + o.in_row * s.width + o.in_column, o.count);
      });
    }
  });
}

// A channel's sums over the batch are one member's, in order.
void CpuOps::depthwise_conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db, ConvGeometry geometry) {
  const ConvSize s = check_depthwise(x, dw, db, dy, geometry);
  const std::int64_t in = s.height * s.width, out = s.out_height * s.out_width, taps = s.kernel * s.kernel;
  cpu::share(team_, s.in, cpu::piece_rows(in * s.batch), [&](std::int64_t first, std::int64_t count, int) {
    for (std::int64_t c = first; c < first + count; ++c) {
      float* kernel = dw.f32() + c * taps;
      for (std::int64_t image = 0; image < s.batch; ++image) {
        const std::int64_t p = image * s.in + c;
        const float *from = x.f32() + p * in, *up = dy.f32() + p * out;
        for_overlaps(s, [&](const Overlap& o, std::int64_t row, std::int64_t tap) {
          kernel[tap] += product_sum(from + o.in_row * s.width + o.in_column, up + row * s.out_width + o.out_column,
                                     o.count);
        });
        if (!db.empty()) db.f32()[c] += static_cast<float>(kernels_.f32.sum(up, out));
      }
    }
  });
}

}  // namespace covey
