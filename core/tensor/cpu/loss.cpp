// Softmax and cross-entropy: of logits that are there, and of a head's product in tiles.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {
namespace {

// What has been seen of one row of logits.
struct RowStats {
  double sum = 0;     // of exp(logit - best)
  double total = 0;   // of logits, where the loss is smoothed
  float best = -std::numeric_limits<float>::infinity();
  float chosen = 0;   // the target's logit
  std::int32_t first_best = -1;
};

double log_sum_exp(const RowStats& s) { return double{s.best} + std::log(s.sum); }

float loss_of(const RowStats& s, LossTerms terms, std::int64_t classes) {
  const double e = terms.smoothing;
  return static_cast<float>(log_sum_exp(s) - (1 - e) * double{s.chosen} -
                            (e > 0 ? e * s.total / static_cast<double>(classes) : 0.0));
}

template <class T>
float as_float(const cpu::TypedKernels<T>& kernels, const T* x) {
  float value = 0;
  kernels.to_f32(x, &value, 1);
  return value;
}

// Adds columns [first, first + n) of a row, but for their exponentials, which are summed against the best so far.
template <class T>
void look_at(const cpu::TypedKernels<T>& kernels, const T* row, std::int64_t first, std::int64_t n, bool smooth,
             RowStats& stats) {
  const float best = kernels.largest(row, n);
  if (best > stats.best || stats.first_best < 0) {
    stats.sum *= std::exp(double{stats.best} - double{best});
    stats.best = best;
    std::int64_t at = 0;
    while (at < n && as_float(kernels, row + at) != best) ++at;
    stats.first_best = static_cast<std::int32_t>(first + at);
  }
  if (smooth) stats.total += kernels.sum(row, n);
}

cpu::SoftmaxTerms gradient_terms(const RowStats& stats, LossTerms terms, std::int64_t classes) {
  return {static_cast<float>(log_sum_exp(stats)), terms.scale,
          terms.scale * terms.smoothing / static_cast<float>(classes)};
}

template <class T>
void take_target(const cpu::TypedKernels<T>& kernels, LossTerms terms, T* at) {
  const float value = as_float(kernels, at) - (1.0F - terms.smoothing) * terms.scale;
  kernels.from_f32(&value, at, 1);
}

}  // namespace

std::int64_t CpuOps::softmax_cross_entropy(Tensor logits, Tensor targets, Tensor losses, Tensor dlogits,
                                           LossTerms terms) {
  const auto [m_here, v_here] = check_loss(logits, targets, losses, dlogits, terms);
  const std::int64_t m = m_here, v = v_here;  // clang lets no lambda use a binding
  std::atomic<std::int64_t> correct{0};
  cpu::share(team_, m, cpu::piece_rows(v), [&](std::int64_t row0, std::int64_t rows, int) {
    cpu::with_type(logits.dtype, [&]<class T>(T) {
      const cpu::TypedKernels<T>& kernels = cpu::typed<T>(kernels_);
      for (std::int64_t i = row0; i < row0 + rows; ++i) {
        const T* row = logits.as<T>() + i * v;
        T* out = dlogits.empty() ? nullptr : dlogits.as<T>() + i * v;
        const std::int32_t target = targets.i32()[i];
        losses.f32()[i] = 0;
        if (target < 0) {
          if (out != nullptr) std::fill_n(out, v, T{});
          continue;
        }
        RowStats stats;
        look_at(kernels, row, 0, v, terms.smoothing > 0, stats);
        stats.sum += kernels.exp_sum(row, stats.best, v);
        stats.chosen = as_float(kernels, row + target);
        correct.fetch_add(stats.first_best == target, std::memory_order_relaxed);
        losses.f32()[i] = loss_of(stats, terms, v);
        if (out == nullptr) continue;
        kernels.softmax_grad(row, gradient_terms(stats, terms, v), out, v);
        take_target(kernels, terms, out + target);
      }
    });
  });
  return correct.load();
}

// Some rows of a head: their part of x, and memory for a tile of logits and of their gradients.
struct CpuOps::HeadRows {
  std::int64_t row, count, width, classes;
  Tensor x;        // f32 or bf16
  float* logits;   // [count, kHeadColumns]
  float* dx;       // [count, width], the sums
  void* dlogits;   // like logits, of x's type
  RowStats* stats;
  Bf16* kept;      // null, or each tile's exp(logit - shift) one behind the other, then their gradients, and
  float* shifts;   // those shifts, [tiles, count]
};

void CpuOps::head_logits(const HeadLoss& head, const HeadRows& r, std::int64_t first, std::int64_t count) {
  products_.multiply({.m = r.count, .n = count, .k = r.width,
                      .a = {r.x.data, r.width, false, r.x.dtype == DType::kBf16},
                      .b = {head.w.f32() + first * r.width, r.width, true, false},
                      .c = r.logits, .c_stride = count});
}

// Losses of the rows; where the vocabulary is one tile, its logits are there afterwards.
std::int64_t CpuOps::head_losses(const HeadLoss& head, const HeadRows& r) {
  std::fill_n(r.stats, r.count, RowStats{});
  const std::int32_t* targets = head.targets.i32() + r.row;
  for (std::int64_t first = 0; first < r.classes; first += kHeadColumns) {
    const std::int64_t count = std::min(kHeadColumns, r.classes - first);
    head_logits(head, r, first, count);
    cpu::share(team_, r.count, cpu::piece_rows(count), [&](std::int64_t row, std::int64_t rows, int) {
      for (std::int64_t i = row; i < row + rows; ++i) {
        if (targets[i] < 0) continue;
        const float* logits = r.logits + i * count;
        look_at(kernels_.f32, logits, first, count, head.terms.smoothing > 0, r.stats[i]);
        const float best = r.stats[i].best;
        if (r.kept == nullptr) {
          r.stats[i].sum += kernels_.f32.exp_sum(logits, best, count);
        } else {
          r.stats[i].sum += kernels_.exp_kept(logits, best, r.kept + r.count * first + i * count, count);
          r.shifts[first / kHeadColumns * r.count + i] = best;
        }
        if (targets[i] >= first && targets[i] < first + count) r.stats[i].chosen = logits[targets[i] - first];
      }
    });
  }
  std::int64_t correct = 0;
  for (std::int64_t i = 0; i < r.count; ++i) {
    head.losses.f32()[r.row + i] = targets[i] < 0 ? 0 : loss_of(r.stats[i], head.terms, r.classes);
    correct += targets[i] >= 0 && r.stats[i].first_best == targets[i];
  }
  return correct;
}

// A tile's gradients from what head_losses() kept of it, in its place.
void CpuOps::kept_gradients(const HeadLoss& head, const HeadRows& r, std::int64_t first, std::int64_t count) {
  const std::int32_t* targets = head.targets.i32() + r.row;
  cpu::share(team_, r.count, cpu::piece_rows(count), [&](std::int64_t row, std::int64_t rows, int) {
    for (std::int64_t i = row; i < row + rows; ++i) {
      Bf16* out = r.kept + r.count * first + i * count;
      if (targets[i] < 0) {
        std::fill_n(out, count, Bf16{});
        continue;
      }
      const cpu::SoftmaxTerms terms = gradient_terms(r.stats[i], head.terms, r.classes);
      const float shift = r.shifts[first / kHeadColumns * r.count + i];
      kernels_.scale_kept(out, std::exp(shift - terms.shift) * terms.factor, terms.everywhere, count);
      if (targets[i] < first || targets[i] >= first + count) continue;
      // Near 1 what was rounded is too coarse to take 1 from.
      const float chosen = (std::exp(r.stats[i].chosen - terms.shift) - (1.0F - head.terms.smoothing)) * terms.factor - terms.everywhere;
      kernels_.bf16.from_f32(&chosen, out + (targets[i] - first), 1);
    }
  });
}

// The same from logits, which are multiplied again where the vocabulary is more than a tile.
void CpuOps::tile_gradients(const HeadLoss& head, const HeadRows& r, std::int64_t first, std::int64_t count) {
  const std::int32_t* targets = head.targets.i32() + r.row;
  if (r.classes > kHeadColumns) head_logits(head, r, first, count);
  cpu::share(team_, r.count, cpu::piece_rows(count), [&](std::int64_t row, std::int64_t rows, int) {
    cpu::with_type(r.x.dtype, [&]<class T>(T) {
      const cpu::TypedKernels<T>& kernels = cpu::typed<T>(kernels_);
      for (std::int64_t i = row; i < row + rows; ++i) {
        T* out = static_cast<T*>(r.dlogits) + i * count;
        if (targets[i] < 0) {
          std::fill_n(out, count, T{});
          continue;
        }
        kernels.softmax_grad_from_f32(r.logits + i * count, gradient_terms(r.stats[i], head.terms, r.classes), out, count);
        if (targets[i] >= first && targets[i] < first + count) take_target(kernels, head.terms, out + (targets[i] - first));
      }
    });
  });
}

void CpuOps::head_gradients(const HeadLoss& head, const HeadRows& r) {
  const bool bf16 = r.x.dtype == DType::kBf16;
  for (std::int64_t first = 0; first < r.classes; first += kHeadColumns) {
    const std::int64_t count = std::min(kHeadColumns, r.classes - first);
    const bool kept = r.kept != nullptr;
    kept ? kept_gradients(head, r, first, count) : tile_gradients(head, r, first, count);
    const void* dlogits = kept ? r.kept + r.count * first : r.dlogits;
    products_.multiply({.m = r.count, .n = r.width, .k = count,
                        .a = {dlogits, count, false, bf16}, .b = {head.w.f32() + first * r.width, r.width, false, false},
                        .c = r.dx, .c_stride = r.width, .accumulate = first > 0});
    if (head.dw.empty()) continue;
    products_.multiply({.m = count, .n = r.width, .k = r.count,
                        .a = {dlogits, count, true, bf16}, .b = {r.x.data, r.width, false, bf16},
                        .c = head.dw.f32() + first * r.width, .c_stride = r.width,
                        .accumulate = head.into == Into::kAdd || r.row > 0});
  }
}

std::int64_t CpuOps::head_loss(const HeadLoss& head) {
  const LinearSize size = check_head(head);
  const std::int64_t rows_max = std::min(kHeadRows, size.m), columns = std::min(kHeadColumns, size.n);
  const bool gradients = !head.dx.empty(), wide = head.x.dtype == DType::kF16;
  const auto stats_floats = static_cast<std::int64_t>(sizeof(RowStats) / sizeof(float)) * rows_max;
  const bool kept = gradients && head.x.dtype == DType::kBf16 && size.n > kHeadColumns && !head.kept.empty();
  const bool in_place = !gradients || kept || head.x.dtype != DType::kBf16;  // gradients of f32 logits take their memory
  const std::int64_t x_floats = wide ? rows_max * size.k : 0;
  const std::int64_t dx_floats = gradients && head.dx.dtype != DType::kF32 ? rows_max * size.k : 0;
  const std::int64_t shift_floats = kept ? (size.n + kHeadColumns - 1) / kHeadColumns * rows_max : 0;
  float* room = scratch(stats_floats + x_floats + dx_floats + (in_place ? 1 : 2) * rows_max * columns + shift_floats);
  auto* stats = reinterpret_cast<RowStats*>(room);
  float *x = room + stats_floats, *dx = x + x_floats, *logits = dx + dx_floats;
  std::int64_t correct = 0;
  for (std::int64_t row = 0; row < size.m; row += kHeadRows) {
    const std::int64_t count = std::min(kHeadRows, size.m - row), at = row * size.k;
    const auto part = [&](Tensor t) {
      return Tensor{static_cast<std::byte*>(t.data) + static_cast<std::size_t>(at) * size_of(t.dtype),
                    {count, size.k}, t.dtype, t.device};
    };
    HeadRows rows{row, count, size.k, size.n, part(head.x), logits, dx, in_place ? logits : logits + rows_max * columns, stats,
                  kept ? head.kept.as<Bf16>() : nullptr, logits + rows_max * columns};
    if (wide) rows.x = widened(rows.x, x);
    if (gradients && head.dx.dtype == DType::kF32) rows.dx = head.dx.f32() + at;
    correct += head_losses(head, rows);
    if (!gradients) continue;
    head_gradients(head, rows);
    if (head.dx.dtype != DType::kF32) convert({rows.dx, {count, size.k}, DType::kF32, Device::kCpu}, part(head.dx));
  }
  return correct;
}

}  // namespace covey
