#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/element.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {
namespace {

// One (batch, head) of a [B,T,H,Dh] tensor.
class Head {
 public:
  Head(Tensor x, std::int64_t b, std::int64_t h)
      : x_(x), first_((b * x.dim(1) * x.dim(2) + h) * x.dim(3)), stride_(x.dim(2) * x.dim(3)) {}
  double at(std::int64_t t, std::int64_t d) const { return ref::at(x_, first_ + t * stride_ + d); }
  void put(std::int64_t t, std::int64_t d, double value) const { ref::put(x_, first_ + t * stride_ + d, value); }

 private:
  Tensor x_;
  std::int64_t first_, stride_;
};

double dot(const Head& a, std::int64_t t, const Head& b, std::int64_t s, std::int64_t size) {
  double sum = 0;
  for (std::int64_t d = 0; d < size; ++d) sum += a.at(t, d) * b.at(s, d);
  return sum;
}

struct Forward {
  Head q, k, v, y;
};

void forward_row(const Forward& h, std::int64_t t, std::int64_t size, float* lse) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(size));
  std::vector<double> p(static_cast<std::size_t>(t) + 1);
  double largest = -std::numeric_limits<double>::infinity();
  for (std::int64_t s = 0; s <= t; ++s) {
    p[static_cast<std::size_t>(s)] = scale * dot(h.q, t, h.k, s, size);
    largest = std::max(largest, p[static_cast<std::size_t>(s)]);
  }
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - largest);
  *lse = static_cast<float>(largest + std::log(sum));
  for (std::int64_t d = 0; d < size; ++d) {
    double out = 0;
    for (std::int64_t s = 0; s <= t; ++s) out += p[static_cast<std::size_t>(s)] * h.v.at(s, d);
    h.y.put(t, d, out / sum);
  }
}

}  // namespace

void RefOps::attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse) {
  const AttentionSize s = check_attention(q, k, v, y, lse);
  for (std::int64_t b = 0; b < s.batch; ++b) {
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const std::int64_t shared = h * s.kv_heads / s.heads;
      const Forward head{{q, b, h}, {k, b, shared}, {v, b, shared}, {y, b, h}};
      for (std::int64_t t = 0; t < s.length; ++t)
        forward_row(head, t, s.head_size, lse.f32() + (b * s.heads + h) * s.length + t);
    }
  }
}

// p = exp(score - lse); dv += p dy; ds = p * (dy.v - dy.y) * scale; dq += ds k; dk += ds q.
void RefOps::attention_grad(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse, Tensor dy,
                            Tensor dq, Tensor dk, Tensor dv) {
  const AttentionSize n = check_attention(q, k, v, y, lse);
  check_attention(dq, dk, dv, dy, lse);
  COVEY_CHECK(q.shape == dq.shape && k.shape == dk.shape && q.dtype == dq.dtype);
  const double scale = 1.0 / std::sqrt(static_cast<double>(n.head_size));
  const std::size_t plane = static_cast<std::size_t>(n.length * n.head_size);
  for (std::int64_t b = 0; b < n.batch; ++b) {
    std::vector<double> dks, dvs;
    for (std::int64_t h = 0; h < n.heads; ++h) {
      const std::int64_t group = n.heads / n.kv_heads, shared = h / group;
      const Head qh(q, b, h), kh(k, b, shared), vh(v, b, shared), yh(y, b, h), dyh(dy, b, h);
      std::vector<double> dqs(plane);
      if (h % group == 0) dks = dvs = dqs;
      for (std::int64_t t = 0; t < n.length; ++t) {
        const double row_lse = double{lse.f32()[(b * n.heads + h) * n.length + t]};
        const double delta = dot(dyh, t, yh, t, n.head_size);
        for (std::int64_t s = 0; s <= t; ++s) {
          const double p = std::exp(scale * dot(qh, t, kh, s, n.head_size) - row_lse);
          const double ds = p * (dot(dyh, t, vh, s, n.head_size) - delta) * scale;
          for (std::int64_t d = 0; d < n.head_size; ++d) {
            dqs[static_cast<std::size_t>(t * n.head_size + d)] += ds * kh.at(s, d);
            dks[static_cast<std::size_t>(s * n.head_size + d)] += ds * qh.at(t, d);
            dvs[static_cast<std::size_t>(s * n.head_size + d)] += p * dyh.at(t, d);
          }
        }
      }
      for (std::int64_t i = 0; i < n.length * n.head_size; ++i) {
        const std::int64_t t = i / n.head_size, d = i % n.head_size;
        Head(dq, b, h).put(t, d, dqs[static_cast<std::size_t>(i)]);
        if (h % group + 1 != group) continue;
        Head(dk, b, shared).put(t, d, dks[static_cast<std::size_t>(i)]);
        Head(dv, b, shared).put(t, d, dvs[static_cast<std::size_t>(i)]);
      }
    }
  }
}

}  // namespace covey
