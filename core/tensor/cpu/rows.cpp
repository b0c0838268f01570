// Embedding, normalisation, rotary positions and pooling: rows at a time.
#include <algorithm>
#include <cmath>

#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {
namespace {

constexpr std::int64_t kStripRows = 128;  // whose sums into gradients are made apart, then added in order
constexpr std::int64_t kStripsMax = 64;

std::int64_t strip_rows(std::int64_t m) { return std::max(kStripRows, (m + kStripsMax - 1) / kStripsMax); }

}  // namespace

using cpu::share;
using cpu::typed;
using cpu::with_type;

void CpuOps::embedding(Tensor tokens, Tensor table, Tensor y) {
  const auto [m_here, d_here] = check_embedding(tokens, table, y);
  const std::int64_t m = m_here, d = d_here;  // clang lets no lambda use a binding
  share(team_, m, cpu::piece_rows(d), [&](std::int64_t row, std::int64_t rows, int) {
    with_type(y.dtype, [&]<class T>(T) {
      for (std::int64_t i = row; i < row + rows; ++i)
        typed<T>(kernels_).embed(table.f32() + tokens.i32()[i] * d, nullptr, y.as<T>() + i * d, d);
    });
  });
}

void CpuOps::embedding_at(Tensor tokens, Tensor table, Tensor positions, Tensor y) {
  const auto [m_here, d_here] = check_embedding(tokens, table, y);
  const std::int64_t m = m_here, d = d_here;  // clang lets no lambda use a binding
  const std::int64_t length = check_positions(y, positions);
  share(team_, m, cpu::piece_rows(d), [&](std::int64_t row, std::int64_t rows, int) {
    with_type(y.dtype, [&]<class T>(T) {
      for (std::int64_t i = row; i < row + rows; ++i)
        typed<T>(kernels_).embed(table.f32() + tokens.i32()[i] * d, positions.f32() + i % length * d,
                                 y.as<T>() + i * d, d);
    });
  });
}

// Each piece has columns of its own: tokens repeat, and their rows are added in order.
void CpuOps::embedding_grad(Tensor tokens, Tensor dy, Tensor dtable) {
  const auto [m_here, d_here] = check_embedding(tokens, dtable, dy);
  const std::int64_t m = m_here, d = d_here;  // clang lets no lambda use a binding
  constexpr std::int64_t kColumns = 128;
  share(team_, d, kColumns, [&](std::int64_t column, std::int64_t columns, int) {
    with_type(dy.dtype, [&]<class T>(T) {
      for (std::int64_t i = 0; i < m; ++i)
        typed<T>(kernels_).accumulate(dy.as<T>() + i * d + column, dtable.f32() + tokens.i32()[i] * d + column,
                                      columns);
    });
  });
}

void CpuOps::positions_grad(Tensor dy, Tensor dpositions) {
  const std::int64_t length = check_positions(dy, dpositions), d = dy.dim(2), batch = dy.dim(0);
  share(team_, length, cpu::piece_rows(d * batch), [&](std::int64_t t0, std::int64_t count, int) {
    with_type(dy.dtype, [&]<class T>(T) {
      for (std::int64_t b = 0; b < batch; ++b)
        typed<T>(kernels_).accumulate(dy.as<T>() + (b * length + t0) * d, dpositions.f32() + t0 * d, count * d);
    });
  });
}

void CpuOps::norm_rows(const Norm& n) {
  const std::int64_t d = n.gain.elements(), m = n.x.elements() / d;
  share(team_, m, cpu::piece_rows(d), [&](std::int64_t row, std::int64_t rows, int) {
    with_type(n.x.dtype, [&]<class T>(T) {
      const bool two = !n.branch.empty(), centred = !n.mean.empty();
      const cpu::NormRows<T> in{n.x.as<T>() + row * d,
                                two ? n.branch.as<T>() + row * d : nullptr,
                                two ? n.sum.as<T>() + row * d : nullptr,
                                n.gain.f32(),
                                centred ? n.bias.f32() : nullptr,
                                n.y.as<T>() + row * d,
                                centred ? n.mean.f32() + row : nullptr,
                                n.rstd.f32() + row,
                                static_cast<float>(n.epsilon)};
      (centred ? typed<T>(kernels_).layernorm : typed<T>(kernels_).rmsnorm)(in, rows, d);
    });
  });
}

void CpuOps::rmsnorm(Tensor x, Tensor g, Tensor y, Tensor rstd, double epsilon) {
  check_rmsnorm(x, g, y, rstd);
  norm_rows({.x = x, .gain = g, .y = y, .rstd = rstd, .epsilon = epsilon});
}

void CpuOps::add_rmsnorm(Tensor a, Tensor b, Tensor sum, Tensor g, Tensor y, Tensor rstd, double epsilon) {
  check_rmsnorm(a, g, y, rstd);
  check_same(a, b, sum);
  norm_rows({.x = a, .branch = b, .sum = sum, .gain = g, .y = y, .rstd = rstd, .epsilon = epsilon});
}

void CpuOps::layernorm(Tensor x, Tensor g, Tensor b, Tensor y, Tensor mean, Tensor rstd, double epsilon) {
  check_rmsnorm(x, g, y, rstd);
  check_flat(g, b);
  check_flat(mean, rstd);
  norm_rows({.x = x, .gain = g, .bias = b, .y = y, .mean = mean, .rstd = rstd, .epsilon = epsilon});
}

void CpuOps::add_layernorm(Tensor a, Tensor x, Tensor sum, Tensor g, Tensor b, Tensor y, Tensor mean, Tensor rstd,
                           double epsilon) {
  check_rmsnorm(a, g, y, rstd);
  check_same(a, x, sum);
  check_flat(g, b);
  check_flat(mean, rstd);
  norm_rows({.x = a, .branch = x, .sum = sum, .gain = g, .bias = b, .y = y, .mean = mean, .rstd = rstd, .epsilon = epsilon});
}

void CpuOps::norm_grad_rows(const NormGrad& n) {
  const std::int64_t d = n.gain.elements(), m = n.x.elements() / d;
  const bool centred = !n.mean.empty();
  const std::int64_t strip = strip_rows(m), strips = (m + strip - 1) / strip, width = centred ? 2 * d : d;
  float* parts = scratch(strips * width);
  std::fill_n(parts, strips * width, 0.0F);
  share(team_, m, strip, [&](std::int64_t row, std::int64_t rows, int) {
    with_type(n.x.dtype, [&]<class T>(T) {
      float* sums = parts + row / strip * width;
      const cpu::NormGradRows<T> in{n.x.as<T>() + row * d,
                                    n.gain.f32(),
                                    centred ? n.mean.f32() + row : nullptr,
                                    n.rstd.f32() + row,
                                    n.dy.as<T>() + row * d,
                                    n.dx.as<T>() + row * d,
                                    sums,
                                    centred ? sums + d : nullptr};
      (centred ? typed<T>(kernels_).layernorm_grad : typed<T>(kernels_).rmsnorm_grad)(in, rows, d);
    });
  });
  for (std::int64_t i = 0; i < strips; ++i) {
    kernels_.f32.accumulate(parts + i * width, n.dgain.f32(), d);
    if (centred) kernels_.f32.accumulate(parts + i * width + d, n.dbias.f32(), d);
  }
}

void CpuOps::rmsnorm_grad(Tensor x, Tensor g, Tensor rstd, Tensor dy, Tensor dx, Tensor dg) {
  check_rmsnorm(x, g, dy, rstd);
  check_same(x, dx, dy);
  check_flat(g, dg);
  norm_grad_rows({.x = x, .gain = g, .rstd = rstd, .dy = dy, .dx = dx, .dgain = dg});
}

void CpuOps::layernorm_grad(Tensor x, Tensor g, Tensor mean, Tensor rstd, Tensor dy, Tensor dx, Tensor dg, Tensor db) {
  check_rmsnorm(x, g, dy, rstd);
  check_same(x, dx, dy);
  check_flat(g, dg, db);
  check_flat(mean, rstd);
  norm_grad_rows({.x = x, .gain = g, .mean = mean, .rstd = rstd, .dy = dy, .dx = dx, .dgain = dg, .dbias = db});
}

const CpuOps::RopeTable& CpuOps::rope_table(std::int64_t length, std::int64_t half, double base) {
  if (rope_.half == half && rope_.base == base && rope_.length >= length) return rope_;
  rope_ = {length, half, base, {}, {}};
  for (std::int64_t t = 0; t < length; ++t) {
    for (std::int64_t i = 0; i < half; ++i) {
      const double exponent = -static_cast<double>(i) / static_cast<double>(half);
      const double angle = static_cast<double>(t) * std::pow(base, exponent);
      rope_.cosines.push_back(static_cast<float>(std::cos(angle)));
      rope_.sines.push_back(static_cast<float>(std::sin(angle)));
    }
  }
  return rope_;
}

void CpuOps::rope(Tensor x, int direction, double base) {
  COVEY_CHECK(direction == 1 || direction == -1);
  const AttentionSize s = check_heads(x);
  const std::int64_t half = s.head_size / 2, width = s.heads * s.head_size;
  const RopeTable& table = rope_table(s.length, half, base);
  share(team_, s.batch * s.length, cpu::piece_rows(width), [&](std::int64_t row, std::int64_t rows, int) {
    with_type(x.dtype, [&]<class T>(T) {
      for (std::int64_t i = row; i < row + rows; ++i) {
        const std::int64_t t = i % s.length;
        typed<T>(kernels_).rope(x.as<T>() + i * width, table.cosines.data() + t * half, table.sines.data() + t * half,
                                static_cast<float>(direction), s.heads, half);
      }
    });
  });
}

void CpuOps::maxpool2(Tensor x, Tensor y, Tensor argmax) {
  const auto [planes_here, height_here, width_here] = check_maxpool2(x, y, argmax);
  const std::int64_t planes = planes_here, height = height_here, width = width_here;  // clang lets no lambda use a binding
  const std::int64_t pooled = (height / 2) * (width / 2);
  share(team_, planes, cpu::piece_rows(height * width), [&](std::int64_t first, std::int64_t count, int) {
    with_type(x.dtype, [&]<class T>(T) {
      for (std::int64_t p = first; p < first + count; ++p)
        typed<T>(kernels_).maxpool2(x.as<T>() + p * height * width, y.as<T>() + p * pooled, argmax.i32() + p * pooled,
                                    height, width);
    });
  });
}

void CpuOps::maxpool2_grad(Tensor dy, Tensor argmax, Tensor dx) {
  const auto [planes_here, height_here, width_here] = check_maxpool2_grad(dy, argmax, dx);
  const std::int64_t planes = planes_here, height = height_here, width = width_here;  // clang lets no lambda use a binding
  const std::int64_t pooled = (height / 2) * (width / 2);
  share(team_, planes, cpu::piece_rows(height * width), [&](std::int64_t first, std::int64_t count, int) {
    with_type(dy.dtype, [&]<class T>(T) {
      for (std::int64_t p = first; p < first + count; ++p)
        typed<T>(kernels_).maxpool2_grad(dy.as<T>() + p * pooled, argmax.i32() + p * pooled,
                                         dx.as<T>() + p * height * width, height, width);
    });
  });
}

}  // namespace covey
