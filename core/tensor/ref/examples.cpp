// Norms of what each example adds to gradients: the gradients themselves, one example after the other.
#include <vector>

#include "core/tensor/op_shapes.h"
#include "core/tensor/ref/element.h"
#include "core/tensor/ref/ref_ops.h"

namespace covey {
namespace {

using ref::at;
using ref::put;

double square_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return sum;
}

// sums[columns] of `x` at row, times factor.
void add_row(Tensor x, std::int64_t row, double factor, double* sums, std::int64_t columns) {
  for (std::int64_t i = 0; i < columns; ++i) sums[i] += factor * at(x, row * columns + i);
}

std::vector<double> embedding_gradient(Tensor tokens, Tensor dy, std::int64_t first, const ExampleSize& size) {
  std::int64_t classes = 0;
  for (const std::int32_t token : tokens.ints()) classes = std::max<std::int64_t>(classes, token + 1);
  std::vector<double> sums(static_cast<std::size_t>(classes * size.columns));
  for (std::int64_t row = first; row < first + size.rows; ++row)
    add_row(dy, row, 1, sums.data() + tokens.i32()[row] * size.columns, size.columns);
  return sums;
}

}  // namespace

void RefOps::example_squares(Tensor x, Tensor squares) {
  const auto [examples, rows, columns] = check_examples(x, squares);
  for (std::int64_t i = 0; i < examples * rows * columns; ++i) {
    const std::int64_t example = i / (rows * columns);
    put(squares, example, at(squares, example) + at(x, i) * at(x, i));
  }
}

void RefOps::linear_grad_squares(Tensor dy, Tensor x, Bias bias, Tensor squares) {
  const ExampleSize out = check_examples(dy, squares), in = check_examples(x, squares);
  COVEY_CHECK(out.rows == in.rows && dy.dtype == x.dtype);
  for (std::int64_t example = 0; example < out.examples; ++example) {
    double square = 0;
    for (std::int64_t j = 0; j < out.columns; ++j) {
      std::vector<double> row(static_cast<std::size_t>(in.columns));
      double sum = 0;
      for (std::int64_t i = example * out.rows; i < (example + 1) * out.rows; ++i) {
        const double d = at(dy, i * out.columns + j);
        add_row(x, i, d, row.data(), in.columns);
        sum += d;
      }
      square += square_of(row) + (bias == Bias::kCounts ? sum * sum : 0);
    }
    put(squares, example, at(squares, example) + square);
  }
}

void RefOps::embedding_grad_squares(Tensor tokens, Tensor dy, Tensor squares) {
  const ExampleSize size = check_examples(dy, squares);
  for (std::int64_t example = 0; example < size.examples; ++example)
    put(squares, example, at(squares, example) + square_of(embedding_gradient(tokens, dy, example * size.rows, size)));
}

void RefOps::tied_grad_squares(Tensor dlogits, Tensor x, Tensor tokens, Tensor dy, Tensor squares) {
  const ExampleSize size = check_examples(dy, squares), head = check_examples(dlogits, squares);
  COVEY_CHECK(x.elements() == dy.elements() && head.rows == size.rows);
  for (std::int64_t example = 0; example < size.examples; ++example) {
    const std::int64_t first = example * size.rows;
    const std::vector<double> table = embedding_gradient(tokens, dy, first, size);
    double inner = 0;
    for (std::size_t i = 0; i < table.size(); ++i) {
      const auto column = static_cast<std::int64_t>(i) % size.columns, token = static_cast<std::int64_t>(i) / size.columns;
      for (std::int64_t row = first; row < first + size.rows; ++row)
        inner += table[i] * at(dlogits, row * head.columns + token) * at(x, row * size.columns + column);
    }
    put(squares, example, at(squares, example) + 2 * inner);
  }
}

void RefOps::scale_examples(Tensor x, Tensor factors) {
  const auto [examples, rows, columns] = check_examples(x, factors);
  for (std::int64_t i = 0; i < examples * rows * columns; ++i) put(x, i, at(x, i) * at(factors, i / (rows * columns)));
}

}  // namespace covey
