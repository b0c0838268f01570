#include <cmath>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {
namespace {

struct Matrix {
  std::int64_t rows, columns;
  std::vector<double> values;
  Matrix(std::int64_t r, std::int64_t c) : rows(r), columns(c), values(static_cast<std::size_t>(r * c)) {}
  double& at(std::int64_t i, std::int64_t j) { return values[static_cast<std::size_t>(i * columns + j)]; }
  double at(std::int64_t i, std::int64_t j) const { return values[static_cast<std::size_t>(i * columns + j)]; }
};

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix c(a.rows, b.columns);
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t l = 0; l < a.columns; ++l)
      for (std::int64_t j = 0; j < b.columns; ++j) c.at(i, j) += a.at(i, l) * b.at(l, j);
  return c;
}

Matrix transposed(const Matrix& a) {
  Matrix t(a.columns, a.rows);
  for (std::int64_t i = 0; i < a.rows; ++i)
    for (std::int64_t j = 0; j < a.columns; ++j) t.at(j, i) = a.at(i, j);
  return t;
}

// X <- a X + (b A + c A A) X with A = X X^T, which pulls all singular values towards 1.
Matrix newton_schulz(Matrix x) {
  for (int step = 0; step < kMuonSteps; ++step) {
    const Matrix square = product(x, transposed(x)), fourth = product(square, square);
    Matrix sum(square.rows, square.columns);
    for (std::size_t i = 0; i < sum.values.size(); ++i)
      sum.values[i] = double{kMuonB} * square.values[i] + double{kMuonC} * fourth.values[i];
    Matrix next = product(sum, x);
    for (std::size_t i = 0; i < next.values.size(); ++i) next.values[i] += double{kMuonA} * x.values[i];
    x = next;
  }
  return x;
}

}  // namespace

void RefOps::muon(Tensor p, Tensor g, Tensor momentum, MuonStep step) {
  const auto [rows, columns] = check_muon(p, g, momentum);
  Matrix x(rows, columns);
  double squares = 0;
  for (std::int64_t i = 0; i < rows * columns; ++i) {
    const double gradient = double{g.f32()[i]} * double{step.gradient_scale};
    const double moved = double{step.momentum} * double{momentum.f32()[i]} + gradient;
    momentum.f32()[i] = static_cast<float>(moved);
    const double value = step.nesterov ? gradient + double{step.momentum} * moved : moved;
    x.values[static_cast<std::size_t>(i)] = value;
    squares += value * value;
  }
  for (double& value : x.values) value /= std::sqrt(squares) + 1e-7;
  x = rows > columns ? transposed(newton_schulz(transposed(x))) : newton_schulz(x);
  const double rate = double{step.learning_rate} * double{muon_scale(rows, columns)};
  const double keep = 1.0 - double{step.learning_rate} * double{step.weight_decay};
  for (std::int64_t i = 0; i < rows * columns; ++i)
    p.f32()[i] = static_cast<float>(double{p.f32()[i]} * keep - rate * x.values[static_cast<std::size_t>(i)]);
}

}  // namespace covey
