#include <cmath>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/element.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {

using ref::at;
using ref::put;

void RefOps::rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd, double epsilon) {
  const auto [m, d] = check_rmsnorm(x, g, y, rstd);
  for (std::int64_t i = 0; i < m; ++i) {
    double squares = 0;
    for (std::int64_t j = 0; j < d; ++j) squares += at(x, i * d + j) * at(x, i * d + j);
    const double r = 1.0 / std::sqrt(squares / static_cast<double>(d) + epsilon);
    put(rstd, i, r);
    for (std::int64_t j = 0; j < d; ++j) put(y, i * d + j, at(x, i * d + j) * r * at(g, j));
  }
}

void RefOps::add_rmsnorm(Tensor a, Tensor b, Tensor sum, Tensor g, Tensor y, Tensor rstd, double epsilon) {
  add(a, b, sum);
  rmsnorm(sum, g, y, rstd, epsilon);
}

// With u = dy * g and r = rstd: dx = r * u - x * r^3 * mean(u * x).
void RefOps::rmsnorm_grad(Tensor x, Tensor g, Tensor rstd, Tensor dy, Tensor dx, Tensor dg) {
  const auto [m, d] = check_rmsnorm(x, g, dy, rstd);
  check_same(x, dx, dy);
  check_flat(g, dg);
  for (std::int64_t i = 0; i < m; ++i) {
    const double r = at(rstd, i);
    double dot = 0;
    for (std::int64_t j = 0; j < d; ++j) dot += at(dy, i * d + j) * at(g, j) * at(x, i * d + j);
    dot /= static_cast<double>(d);
    for (std::int64_t j = 0; j < d; ++j) {
      const std::int64_t e = i * d + j;
      put(dx, e, at(dx, e) + r * at(dy, e) * at(g, j) - at(x, e) * r * r * r * dot);
    }
  }
  for (std::int64_t j = 0; j < d; ++j) {
    double sum = at(dg, j);
    for (std::int64_t i = 0; i < m; ++i) sum += at(dy, i * d + j) * at(x, i * d + j) * at(rstd, i);
    put(dg, j, sum);
  }
}

void RefOps::layernorm(Tensor x, Tensor g, Tensor b, Tensor y, Tensor mean, Tensor rstd, double epsilon) {
  const auto [m, d] = check_rmsnorm(x, g, y, rstd);
  check_flat(g, b);
  check_flat(mean, rstd);
  for (std::int64_t i = 0; i < m; ++i) {
    double sum = 0, squares = 0;
    for (std::int64_t j = 0; j < d; ++j) sum += at(x, i * d + j);
    const double centre = sum / static_cast<double>(d);
    for (std::int64_t j = 0; j < d; ++j) squares += std::pow(at(x, i * d + j) - centre, 2);
    const double r = 1.0 / std::sqrt(squares / static_cast<double>(d) + epsilon);
    put(mean, i, centre);
    put(rstd, i, r);
    for (std::int64_t j = 0; j < d; ++j) put(y, i * d + j, (at(x, i * d + j) - centre) * r * at(g, j) + at(b, j));
  }
}

void RefOps::add_layernorm(Tensor a, Tensor x, Tensor sum, Tensor g, Tensor b, Tensor y, Tensor mean, Tensor rstd,
                           double epsilon) {
  add(a, x, sum);
  layernorm(sum, g, b, y, mean, rstd, epsilon);
}

// With n = (x - mean) * r and u = dy * g: dx = r * (u - mean(u) - n * mean(u * n)).
void RefOps::layernorm_grad(Tensor x, Tensor g, Tensor mean, Tensor rstd, Tensor dy, Tensor dx, Tensor dg, Tensor db) {
  const auto [m_here, d_here] = check_rmsnorm(x, g, dy, rstd);
  const std::int64_t m = m_here, d = d_here;  // clang lets no lambda use a binding
  check_same(x, dx, dy);
  check_flat(g, dg, db);
  check_flat(mean, rstd);
  const auto normed = [&](std::int64_t i, std::int64_t j) { return (at(x, i * d + j) - at(mean, i)) * at(rstd, i); };
  for (std::int64_t i = 0; i < m; ++i) {
    double push = 0, pull = 0;
    for (std::int64_t j = 0; j < d; ++j) {
      const double u = at(dy, i * d + j) * at(g, j);
      push += u / static_cast<double>(d);
      pull += u * normed(i, j) / static_cast<double>(d);
    }
    for (std::int64_t j = 0; j < d; ++j) {
      const double u = at(dy, i * d + j) * at(g, j);
      put(dx, i * d + j, at(dx, i * d + j) + at(rstd, i) * (u - push - normed(i, j) * pull));
    }
  }
  for (std::int64_t j = 0; j < d; ++j) {
    double gain = at(dg, j), bias = at(db, j);
    for (std::int64_t i = 0; i < m; ++i) {
      gain += at(dy, i * d + j) * normed(i, j);
      bias += at(dy, i * d + j);
    }
    put(dg, j, gain);
    put(db, j, bias);
  }
}

}  // namespace covey
