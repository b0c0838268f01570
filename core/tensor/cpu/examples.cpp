// Norms of what each example adds to gradients, without keeping those gradients. Of a product they come from
// the inner products of its rows (Li et al. 2022, "ghost norms") or from the example's own product,
// whichever has less to multiply. Examples one after the other, the team on each of them.
#include <algorithm>
#include <numeric>

#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {
namespace {

constexpr std::int64_t kSome = 1024;  // elements in f32 at a time

Tensor rows_of(Tensor x, std::int64_t first, std::int64_t rows, std::int64_t columns) {
  auto* data = static_cast<std::byte*>(x.data) + static_cast<std::size_t>(first * columns) * size_of(x.dtype);
  return {data, {rows, columns}, x.dtype, x.device};
}

// Through f32, in pieces: use(floats, count).
template <class T, class Use>
void as_floats(const cpu::TypedKernels<T>& kernels, const T* x, std::int64_t n, Use use) {
  float some[kSome];
  for (std::int64_t i = 0; i < n; i += kSome) {
    const std::int64_t few = std::min(kSome, n - i);
    kernels.to_f32(x + i, some, few);
    use(some, few);
  }
}

double square_of(const cpu::Kernels& kernels, Tensor x) {
  if (x.dtype == DType::kF32) return kernels.squared_norm(x.f32(), x.elements());
  return cpu::with_type(x.dtype, [&]<class T>(T) {
    double sum = 0;
    as_floats(cpu::typed<T>(kernels), x.as<T>(), x.elements(),
              [&](const float* some, std::int64_t few) { sum += kernels.squared_norm(some, few); });
    return sum;
  });
}

// Sum of (a + plus) b, short sums in f32.
double inner_product(const float* a, const float* b, float plus, std::int64_t n) {
  double sum = 0;
  for (std::int64_t i = 0; i < n; i += 256) {
    const std::int64_t end = std::min(n, i + 256);
    float part = 0;
#pragma omp simd reduction(+ : part)
    for (std::int64_t j = i; j < end; ++j) part += (a[j] + plus) * b[j];
    sum += double{part};
  }
  return sum;
}

void add_to(Tensor squares, std::int64_t example, double square) {
  squares.f32()[example] = static_cast<float>(double{squares.f32()[example]} + square);
}

cpu::Operand operand(Tensor x, bool transposed) {
  return {x.data, x.dim(1), transposed, x.dtype == DType::kBf16};
}

}  // namespace

float* CpuOps::example_room(std::int64_t floats) {
  const std::size_t bytes = static_cast<std::size_t>(floats) * sizeof(float);
  if (example_room_.capacity() < bytes) {
    example_room_ = Arena(bytes);
    example_data_ = example_room_.take({floats}).f32();
  }
  return example_data_;
}

void CpuOps::example_squares(Tensor x, Tensor squares) {
  const ExampleSize size = check_examples(x, squares);
  team_.run(size.examples, [&](std::int64_t example, int) {
    add_to(squares, example, square_of(kernels_, rows_of(x, example * size.rows, size.rows, size.columns)));
  });
}

// || dy^T x ||^2 = sum over pairs of rows of (x_s . x_t) (dy_s . dy_t). A bias is one more column of x, of ones.
double CpuOps::ghost_square(Tensor dy, Tensor x, Bias bias, float* room) {
  const std::int64_t rows = x.dim(0);
  float *of_x = room, *of_dy = room + rows * rows;
  for (const auto& [from, to] : {std::pair(x, of_x), std::pair(dy, of_dy)})
    products_.multiply({.m = rows, .n = rows, .k = from.dim(1),
                        .a = operand(from, false), .b = operand(from, true), .c = to, .c_stride = rows});
  auto* sums = reinterpret_cast<double*>(scratch(2 * rows));
  cpu::share(team_, rows, cpu::piece_rows(rows), [&](std::int64_t row, std::int64_t count, int) {
    for (std::int64_t i = row; i < row + count; ++i)
      sums[i] = inner_product(of_x + i * rows, of_dy + i * rows, bias == Bias::kCounts ? 1.0F : 0.0F, rows);
  });
  return std::max(0.0, std::accumulate(sums, sums + rows, 0.0));  // rounding may go below
}

double CpuOps::gradient_square(Tensor dy, Tensor x, Bias bias, float* room) {
  const std::int64_t n = dy.dim(1), k = x.dim(1);
  products_.multiply({.m = n, .n = k, .k = x.dim(0),
                      .a = operand(dy, true), .b = operand(x, false), .c = room, .c_stride = k});
  const double square = squared_norm({room, {n * k}, DType::kF32, Device::kCpu});
  if (bias == Bias::kNone) return square;
  std::fill_n(room, n, 0.0F);
  cpu::with_type(dy.dtype, [&]<class T>(T) { cpu::typed<T>(kernels_).column_sums(dy.as<T>(), dy.dim(0), n, room); });
  return square + kernels_.squared_norm(room, n);
}

void CpuOps::linear_grad_squares(Tensor dy, Tensor x, Bias bias, Tensor squares) {
  const auto [examples, rows, n] = check_examples(dy, squares);
  const std::int64_t k = check_examples(x, squares).columns, wide = dy.dtype == DType::kF16 ? rows * (n + k) : 0;
  COVEY_CHECK(dy.dtype == x.dtype && x.elements() == examples * rows * k);
  const bool ghost = rows * (n + k) < n * k;
  float* room = example_room(wide + (rows == 1 ? 0 : ghost ? 2 * rows * rows : n * std::max<std::int64_t>(k, 1)));
  for (std::int64_t example = 0; example < examples; ++example) {
    Tensor d = rows_of(dy, example * rows, rows, n), in = rows_of(x, example * rows, rows, k);
    if (rows == 1) {
      add_to(squares, example, square_of(kernels_, d) * (square_of(kernels_, in) + (bias == Bias::kCounts ? 1 : 0)));
      continue;
    }
    if (wide > 0) {
      d = widened(d, room);
      in = widened(in, room + rows * n);
    }
    add_to(squares, example,
           ghost ? ghost_square(d, in, bias, room + wide) : gradient_square(d, in, bias, room + wide));
  }
}

// Rows of the same token add up before they are squared.
void CpuOps::embedding_grad_squares(Tensor tokens, Tensor dy, Tensor squares) {
  const auto [examples, rows, columns] = check_examples(dy, squares);
  COVEY_CHECK(tokens.elements() == examples * rows);
  prepare_member_scratch(columns + rows);
  const std::int64_t each = rows, width = columns;
  team_.run(examples, [&](std::int64_t example, int member) {
    float* sum = member_scratch(member);
    auto* order = reinterpret_cast<std::int32_t*>(sum + width);
    const std::int32_t* token = tokens.i32() + example * each;
    std::iota(order, order + each, 0);
    std::sort(order, order + each, [&](std::int32_t a, std::int32_t b) {
      return token[a] != token[b] ? token[a] < token[b] : a < b;
    });
    double square = 0;
    for (std::int64_t i = 0; i < each;) {
      std::fill_n(sum, width, 0.0F);
      const std::int32_t same = token[order[i]];
      for (; i < each && token[order[i]] == same; ++i)
        cpu::with_type(dy.dtype, [&]<class T>(T) {
          cpu::typed<T>(kernels_).accumulate(dy.as<T>() + (example * each + order[i]) * width, sum, width);
        });
      square += kernels_.squared_norm(sum, width);
    }
    add_to(squares, example, square);
  });
}

// The sum over pairs of rows of dlogits[s, token of t] (x_s . dy_t).
void CpuOps::tied_grad_squares(Tensor dlogits, Tensor x, Tensor tokens, Tensor dy, Tensor squares) {
  const auto [examples, rows, d] = check_examples(dy, squares);
  const std::int64_t classes = check_examples(dlogits, squares).columns, wide = dy.dtype == DType::kF16 ? 2 * rows * d : 0;
  COVEY_CHECK(dlogits.dtype == dy.dtype && x.dtype == dy.dtype && x.elements() == dy.elements());
  COVEY_CHECK(tokens.elements() == examples * rows && dlogits.elements() == examples * rows * classes);
  float* room = example_room(wide + rows * rows);
  float* inner = room + wide;
  const std::int64_t each = rows;
  for (std::int64_t example = 0; example < examples; ++example) {
    Tensor left = rows_of(x, example * each, each, d), right = rows_of(dy, example * each, each, d);
    if (wide > 0) {
      left = widened(left, room);
      right = widened(right, room + each * d);
    }
    products_.multiply({.m = each, .n = each, .k = d, .a = operand(left, false), .b = operand(right, true),
                        .c = inner, .c_stride = each});
    auto* sums = reinterpret_cast<double*>(scratch(2 * each));
    const std::int32_t* token = tokens.i32() + example * each;
    cpu::share(team_, each, cpu::piece_rows(each), [&](std::int64_t row, std::int64_t count, int) {
      cpu::with_type(dlogits.dtype, [&]<class T>(T) {
        for (std::int64_t s = row; s < row + count; ++s) {
          const T* logits = dlogits.as<T>() + (example * each + s) * classes;
          double sum = 0;
          for (std::int64_t t = 0; t < each; ++t) {
            float value = 0;
            cpu::typed<T>(kernels_).to_f32(logits + token[t], &value, 1);
            sum += double{value} * double{inner[s * each + t]};
          }
          sums[s] = sum;
        }
      });
    });
    add_to(squares, example, 2 * std::accumulate(sums, sums + each, 0.0));
  }
}

void CpuOps::scale_examples(Tensor x, Tensor factors) {
  const auto [examples, rows, columns] = check_examples(x, factors);
  const std::int64_t each = rows, width = columns;
  cpu::share(team_, examples * each, cpu::piece_rows(width), [&](std::int64_t row, std::int64_t count, int) {
    cpu::with_type(x.dtype, [&]<class T>(T) {
      for (std::int64_t i = row; i < row + count; ++i) {
        const float factor = factors.f32()[i / each];
        T* from = x.as<T>() + i * width;
        if constexpr (std::is_same_v<T, float>) {
          kernels_.scale(from, factor, width);
        } else {
          as_floats(cpu::typed<T>(kernels_), from, width, [&, to = from](float* some, std::int64_t few) mutable {
            kernels_.scale(some, factor, few);
            cpu::typed<T>(kernels_).from_f32(some, to, few);
            to += few;
          });
        }
      }
    });
  });
}

}  // namespace covey
