#include <cmath>
#include <numbers>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/element.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

using ref::at;
using ref::put;

void RefOps::convert(Tensor x, Tensor y) {
  const std::int64_t n = check_reals(x);
  COVEY_CHECK(check_reals(y) == n);
  for (std::int64_t i = 0; i < n; ++i) put(y, i, at(x, i));
}

void RefOps::swiglu(Tensor gate, Tensor up, Tensor y) {
  const std::int64_t n = check_same(gate, up, y);
  for (std::int64_t i = 0; i < n; ++i) {
    const double g = at(gate, i);
    put(y, i, g / (1.0 + std::exp(-g)) * at(up, i));
  }
}

void RefOps::swiglu_grad(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup, Tensor y) {
  const std::int64_t n = check_same(gate, up, dy);
  check_same(dy, dgate, dup);
  if (!y.empty()) check_same(dy, y, y);
  for (std::int64_t i = 0; i < n; ++i) {
    const double g = at(gate, i), u = at(up, i), d = at(dy, i);
    const double sigmoid = 1.0 / (1.0 + std::exp(-g));
    put(dgate, i, d * u * sigmoid * (1.0 + g * (1.0 - sigmoid)));
    put(dup, i, d * g * sigmoid);
    if (!y.empty()) put(y, i, g * sigmoid * u);
  }
}

namespace {

// The tanh form's u and du/dx.
double inner(double x) { return std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x); }
double inner_slope(double x) { return std::sqrt(2.0 / std::numbers::pi) * (1.0 + 3.0 * 0.044715 * x * x); }

}  // namespace

void RefOps::gelu(Tensor x, Tensor y, Gelu kind) {
  const std::int64_t n = check_same(x, y, y);
  for (std::int64_t i = 0; i < n; ++i) {
    const double v = at(x, i);
    const double below = kind == Gelu::kTanh ? 0.5 * (1.0 + std::tanh(inner(v)))
                                             : 0.5 * std::erfc(-v / std::numbers::sqrt2);
    put(y, i, v * below);
  }
}

void RefOps::gelu_grad(Tensor x, Tensor dy, Tensor dx, Gelu kind, Tensor y) {
  const std::int64_t n = check_same(x, dy, dx);
  if (!y.empty()) check_same(x, y, y);
  for (std::int64_t i = 0; i < n; ++i) {
    const double v = at(x, i), d = at(dy, i);
    double below = 0, rise = 0;  // y = v below, and dbelow/dv
    if (kind == Gelu::kTanh) {
      const double t = std::tanh(inner(v));
      below = 0.5 * (1.0 + t);
      rise = 0.5 * (1.0 - t * t) * inner_slope(v);
    } else {
      below = 0.5 * std::erfc(-v / std::numbers::sqrt2);
      rise = std::exp(-0.5 * v * v) / std::sqrt(2.0 * std::numbers::pi);
    }
    put(dx, i, d * (below + v * rise));
    if (!y.empty()) put(y, i, v * below);
  }
}

namespace {

// A coin's 32 bits: rounds of multiply and shift, between the two keys.
std::uint32_t coin(std::uint32_t index, const DropoutKey& key) {
  std::uint32_t h = index ^ key.first;
  h = (h ^ h >> 16) * 0x7FEB352DU;
  h = (h ^ h >> 15) * 0x846CA68BU;
  h = (h ^ h >> 16) + key.second;
  h = (h ^ h >> 15) * 0x2C1B3C6DU;
  h = (h ^ h >> 12) * 0x297A2D39U;
  return h ^ h >> 15;
}

}  // namespace

void RefOps::dropout(Tensor x, Tensor y, Dropout coins) {
  const std::int64_t n = check_same(x, y, y);
  const DropoutKey key = dropout_key(coins);
  for (std::int64_t i = 0; i < n; ++i)
    put(y, i, coin(static_cast<std::uint32_t>(i), key) >= key.threshold ? at(x, i) * double{key.factor} : 0.0);
}

void RefOps::relu(Tensor x, Tensor y) {
  const std::int64_t n = check_same(x, y, y);
  // Written so that NaN passes through: a diverged model must show.
  for (std::int64_t i = 0; i < n; ++i) put(y, i, at(x, i) < 0.0 ? 0.0 : at(x, i));
}

void RefOps::relu_grad(Tensor y, Tensor dy, Tensor dx) {
  const std::int64_t n = check_same(y, dy, dx);
  for (std::int64_t i = 0; i < n; ++i) put(dx, i, at(y, i) > 0.0 ? at(dy, i) : 0.0);
}

void RefOps::add(Tensor a, Tensor b, Tensor y) {
  const std::int64_t n = check_same(a, b, y);
  for (std::int64_t i = 0; i < n; ++i) put(y, i, at(a, i) + at(b, i));
}

void RefOps::fill(Tensor y, float value) {
  const std::int64_t n = check_reals(y);
  for (std::int64_t i = 0; i < n; ++i) put(y, i, double{value});
}

}  // namespace covey
