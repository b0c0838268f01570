#include <algorithm>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {
namespace {

// work(x index, y index, w index) for every product of the convolution.
template <class Work>
void for_products(const ConvSize& s, Work work) {
  for (std::int64_t p = 0; p < s.batch * s.in; ++p) {
    for (std::int64_t y = 0; y < s.out_height * s.out_width; ++y) {
      for (std::int64_t tap = 0; tap < s.kernel * s.kernel; ++tap) {
        const std::int64_t row = y / s.out_width + tap / s.kernel - s.padding;
        const std::int64_t column = y % s.out_width + tap % s.kernel - s.padding;
        if (row < 0 || row >= s.height || column < 0 || column >= s.width) continue;
        work((p * s.height + row) * s.width + column, p * s.out_height * s.out_width + y,
             p % s.in * s.kernel * s.kernel + tap);
      }
    }
  }
}

std::vector<double> doubles(Tensor t) { return {t.floats().begin(), t.floats().end()}; }
void put_all(const std::vector<double>& values, Tensor t) {
  std::transform(values.begin(), values.end(), t.f32(), [](double v) { return static_cast<float>(v); });
}
std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

}  // namespace

void RefOps::depthwise_conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) {
  const ConvSize s = check_depthwise(x, w, b, y, geometry);
  std::vector<double> sums(index(y.elements()));
  for (std::int64_t i = 0; i < y.elements() && !b.empty(); ++i)
    sums[index(i)] = double{b.f32()[i / (s.out_height * s.out_width) % s.in]};
  for_products(s, [&](std::int64_t xi, std::int64_t yi, std::int64_t wi) {
    sums[index(yi)] += double{x.f32()[xi]} * double{w.f32()[wi]};
  });
  put_all(sums, y);
}

void RefOps::depthwise_conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) {
  const ConvSize s = check_depthwise(dx, w, {}, dy, geometry);
  std::vector<double> sums(index(dx.elements()));
  for_products(s, [&](std::int64_t xi, std::int64_t yi, std::int64_t wi) {
    sums[index(xi)] += double{dy.f32()[yi]} * double{w.f32()[wi]};
  });
  put_all(sums, dx);
}

void RefOps::depthwise_conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db, ConvGeometry geometry) {
  const ConvSize s = check_depthwise(x, dw, db, dy, geometry);
  std::vector<double> sums = doubles(dw);
  for_products(s, [&](std::int64_t xi, std::int64_t yi, std::int64_t wi) {
    sums[index(wi)] += double{dy.f32()[yi]} * double{x.f32()[xi]};
  });
  put_all(sums, dw);
  if (db.empty()) return;
  std::vector<double> biases = doubles(db);
  for (std::int64_t i = 0; i < dy.elements(); ++i)
    biases[index(i / (s.out_height * s.out_width) % s.in)] += double{dy.f32()[i]};
  put_all(biases, db);
}

}  // namespace covey
