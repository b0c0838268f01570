#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {
namespace {

struct Head {  // one (batch, head) of a [B,T,H,Dh] tensor
  float* data;
  std::int64_t stride;  // between positions
  float* at(std::int64_t t) const { return data + t * stride; }
};

Head head_of(Tensor x, std::int64_t b, std::int64_t h) {
  const std::int64_t stride = x.dim(2) * x.dim(3);
  return {x.f32() + b * x.dim(1) * stride + h * x.dim(3), stride};
}

double dot(const float* a, const float* b, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += double{a[i]} * b[i];
  return sum;
}

void forward_row(Head q, Head k, Head v, Head y, std::int64_t t, std::int64_t size, float* lse) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(size));
  std::vector<double> p(static_cast<std::size_t>(t) + 1);
  double largest = -std::numeric_limits<double>::infinity();
  for (std::int64_t s = 0; s <= t; ++s) {
    p[static_cast<std::size_t>(s)] = scale * dot(q.at(t), k.at(s), size);
    largest = std::max(largest, p[static_cast<std::size_t>(s)]);
  }
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - largest);
  *lse = static_cast<float>(largest + std::log(sum));
  for (std::int64_t d = 0; d < size; ++d) {
    double out = 0;
    for (std::int64_t s = 0; s <= t; ++s) out += p[static_cast<std::size_t>(s)] * v.at(s)[d];
    y.at(t)[d] = static_cast<float>(out / sum);
  }
}

}  // namespace

void RefOps::attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse) {
  const auto [batch, length, heads, size] = check_attention(q, k, v, y, lse);
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t t = 0; t < length; ++t) {
        forward_row(head_of(q, b, h), head_of(k, b, h), head_of(v, b, h), head_of(y, b, h), t, size,
                    lse.f32() + (b * heads + h) * length + t);
      }
    }
  }
}

// p = exp(score - lse); dv += p dy; ds = p * (dy.v - dy.y) * scale; dq += ds k; dk += ds q.
void RefOps::attention_grad(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse, Tensor dy,
                            Tensor dq, Tensor dk, Tensor dv) {
  const auto [batch, length, heads, size] = check_attention(q, k, v, y, lse);
  check_attention(dq, dk, dv, dy, lse);
  COVEY_CHECK(q.shape == dq.shape);
  const double scale = 1.0 / std::sqrt(static_cast<double>(size));
  const std::size_t plane = static_cast<std::size_t>(length * size);
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t h = 0; h < heads; ++h) {
      const Head qh = head_of(q, b, h), kh = head_of(k, b, h), vh = head_of(v, b, h);
      const Head yh = head_of(y, b, h), dyh = head_of(dy, b, h);
      std::vector<double> dqs(plane), dks(plane), dvs(plane);
      for (std::int64_t t = 0; t < length; ++t) {
        const double row_lse = lse.f32()[(b * heads + h) * length + t];
        const double delta = dot(dyh.at(t), yh.at(t), size);
        for (std::int64_t s = 0; s <= t; ++s) {
          const double p = std::exp(scale * dot(qh.at(t), kh.at(s), size) - row_lse);
          const double ds = p * (dot(dyh.at(t), vh.at(s), size) - delta) * scale;
          for (std::int64_t d = 0; d < size; ++d) {
            dqs[static_cast<std::size_t>(t * size + d)] += ds * kh.at(s)[d];
            dks[static_cast<std::size_t>(s * size + d)] += ds * qh.at(t)[d];
            dvs[static_cast<std::size_t>(s * size + d)] += p * dyh.at(t)[d];
          }
        }
      }
      for (std::int64_t t = 0; t < length; ++t) {
        for (std::int64_t d = 0; d < size; ++d) {
          const std::size_t i = static_cast<std::size_t>(t * size + d);
          head_of(dq, b, h).at(t)[d] = static_cast<float>(dqs[i]);
          head_of(dk, b, h).at(t)[d] = static_cast<float>(dks[i]);
          head_of(dv, b, h).at(t)[d] = static_cast<float>(dvs[i]);
        }
      }
    }
  }
}

}  // namespace covey
