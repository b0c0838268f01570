#include <vector>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/element.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {
namespace {

// Calls visit(x index, w index, y index) for every product of the convolution.
template <class Visit>
void for_each_product(const ConvSize& s, Visit visit) {
  for (std::int64_t b = 0; b < s.batch; ++b)
    for (std::int64_t o = 0; o < s.out; ++o)
      for (std::int64_t row = 0; row < s.out_height; ++row)
        for (std::int64_t column = 0; column < s.out_width; ++column)
          for (std::int64_t c = 0; c < s.in; ++c)
            for (std::int64_t i = 0; i < s.kernel; ++i)
              for (std::int64_t j = 0; j < s.kernel; ++j) {
                const std::int64_t h = row + i - s.padding, w = column + j - s.padding;
                if (h < 0 || h >= s.height || w < 0 || w >= s.width) continue;
                visit(static_cast<std::size_t>(((b * s.in + c) * s.height + h) * s.width + w),
                      static_cast<std::size_t>(((o * s.in + c) * s.kernel + i) * s.kernel + j),
                      static_cast<std::size_t>(
                          ((b * s.out + o) * s.out_height + row) * s.out_width + column));
              }
}

void store(const std::vector<double>& from, Tensor to) {
  for (std::size_t i = 0; i < from.size(); ++i) ref::put(to, static_cast<std::int64_t>(i), from[i]);
}

// Every element as products see it: with activations in bf16 a weight is rounded to bf16 too.
std::vector<double> values(Tensor t, DType activations = DType::kF32) {
  std::vector<double> out;
  for (std::int64_t i = 0; i < t.elements(); ++i) {
    const double value = ref::at(t, i);
    out.push_back(activations == DType::kBf16 ? double{to_float(from_float<Bf16>(static_cast<float>(value)))} : value);
  }
  return out;
}

}  // namespace

void RefOps::conv2d(Tensor x, Tensor w, Tensor b, Tensor y, ConvGeometry geometry) {
  const ConvSize s = check_conv2d(x, w, b, y, geometry);
  std::vector<double> sums(static_cast<std::size_t>(y.elements()));
  const std::size_t plane = static_cast<std::size_t>(s.out_height * s.out_width);
  const std::size_t channels = static_cast<std::size_t>(s.out);
  if (!b.empty())
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = b.f32()[i / plane % channels];
  const std::vector<double> xs = values(x), ws = values(w, x.dtype);
  for_each_product(s, [&](std::size_t xi, std::size_t wi, std::size_t yi) {
    sums[yi] += xs[xi] * ws[wi];
  });
  store(sums, y);
}

void RefOps::conv2d_grad_input(Tensor dy, Tensor w, Tensor dx, ConvGeometry geometry) {
  const ConvSize s = check_conv2d(dx, w, {}, dy, geometry);
  std::vector<double> sums(static_cast<std::size_t>(dx.elements()));
  const std::vector<double> dys = values(dy), ws = values(w, dy.dtype);
  for_each_product(s, [&](std::size_t xi, std::size_t wi, std::size_t yi) {
    sums[xi] += dys[yi] * ws[wi];
  });
  store(sums, dx);
}

void RefOps::conv2d_grad_weight(Tensor dy, Tensor x, Tensor dw, Tensor db, ConvGeometry geometry) {
  const ConvSize s = check_conv2d(x, dw, db, dy, geometry);
  std::vector<double> sums(dw.f32(), dw.f32() + dw.elements());
  const std::vector<double> dys = values(dy), xs = values(x);
  for_each_product(s, [&](std::size_t xi, std::size_t wi, std::size_t yi) {
    sums[wi] += dys[yi] * xs[xi];
  });
  store(sums, dw);
  if (db.empty()) return;
  const std::int64_t plane = s.out_height * s.out_width;
  std::vector<double> biases(db.f32(), db.f32() + s.out);
  for (std::int64_t i = 0; i < dy.elements(); ++i)
    biases[static_cast<std::size_t>(i / plane % s.out)] += dys[static_cast<std::size_t>(i)];
  store(biases, db);
}

}  // namespace covey
