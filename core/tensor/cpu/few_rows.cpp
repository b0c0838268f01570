#include "core/tensor/cpu/few_rows.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/tensor/cpu/amx_few.h"

namespace covey::cpu {
namespace {

constexpr std::int64_t kLeast = 12;              // rows below which vectors are as quick
constexpr std::int64_t kWorthwhile = 1 << 14;    // elements of a weight
constexpr std::int64_t kColumns = 1024;          // of a piece of it, and
constexpr std::int64_t kPairRows = 384;          // planes times rows of such a piece where the rows are k

std::int64_t planes_of(DType activations) { return activations == DType::kBf16 ? 1 : 3; }
std::int64_t panels_of(std::int64_t lines) { return (lines + kPanelLines - 1) / kPanelLines; }

// Lines of a matrix [rows, columns] from one on: its rows (along k), or its columns.
TileSource source_of(Tensor t, std::int64_t columns, std::int64_t first, bool along_k) {
  const bool bf16 = t.dtype == DType::kBf16;
  const std::int64_t at = along_k ? first * columns : first;
  return {static_cast<const char*>(t.data) + at * (bf16 ? 2 : 4), columns, along_k, bf16};
}

}  // namespace

FewRows::FewRows(Team& team, const Kernels& kernels, bool tiles)
    : team_(team), kernels_(kernels), tiles_(tiles && amx_usable()) {
  for (int i = 0; i < team.size() + 2; ++i) rooms_.emplace_back(0);
  starts_.assign(rooms_.size(), nullptr);
}

bool FewRows::serve(const LinearSize& s, DType activations) const {
  return tiles_ && activations != DType::kF16 && s.m >= kLeast && s.m <= kPanelLines && s.n >= 32 && s.k >= 32 &&
         s.n * s.k >= kWorthwhile;
}

std::uint16_t* FewRows::room(std::size_t index, std::int64_t elements) {
  const std::int64_t floats = (elements + 1) / 2;
  if (rooms_[index].capacity() < static_cast<std::size_t>(floats) * sizeof(float)) {
    rooms_[index] = Arena(static_cast<std::size_t>(floats) * sizeof(float));
    starts_[index] = static_cast<std::uint16_t*>(rooms_[index].take({floats}).data);
  }
  return starts_[index];
}

void FewRows::prepare(std::int64_t elements) {  // before the team runs, so that nobody allocates
  for (std::size_t i = 0; i + 2 < rooms_.size(); ++i) room(i, elements);
}

void FewRows::write_row(const float* sums, std::int64_t count, Tensor to, std::int64_t at) {
  if (to.dtype == DType::kBf16)
    kernels_.bf16.from_f32(sums, to.as<Bf16>() + at, count);
  else
    std::copy_n(sums, count, to.f32() + at);
}

#ifdef COVEY_X86_KERNELS
void FewRows::forward(const LinearSize& s, Tensor x, Tensor w, const float* bias, Tensor y) {
  const std::int64_t planes = planes_of(x.dtype);
  std::uint16_t* panel = room(rooms_.size() - 1, panel_elements(s.k, planes));
  pack_right_panels(source_of(x, s.k, 0, true), {s.m, s.k, planes}, panel);
  prepare(planes * kPanelLines * piece_row(std::min(s.k, kColumns)));
  team_.run(panels_of(s.n), [&](std::int64_t task, int member) {
    const std::int64_t first = task * kPanelLines, lines = std::min(kPanelLines, s.n - first);
    std::uint16_t* rows = starts_[static_cast<std::size_t>(member)];
    alignas(64) float sums[32 * 32], turned[32 * 32];
    tiles_begin();
    zero_tile_sums();
    for (std::int64_t k = 0; k < s.k; k += kColumns) {
      const WeightPiece piece{w.f32() + first * s.k + k, s.k, lines, std::min(kColumns, s.k - k), planes};
      convert_rows(piece, rows);
      add_rows_by_panel(rows, piece, panel + k * kPanelLines * planes);
    }
    store_tile_sums(sums, 32);
    tiles_end();
    transpose_sums(sums, turned);
    for (std::int64_t row = 0; row < s.m; ++row) {
      float* values = turned + row * 32;
      if (bias != nullptr) kernels_.f32.add(values, bias + first, values, lines);
      write_row(values, lines, y, row * s.n + first);
    }
  });
}

void FewRows::grad_input(const LinearSize& s, Tensor dy, Tensor w, Tensor dx) {
  const std::int64_t planes = planes_of(dy.dtype), deep = kPairRows / planes, wide = std::min(s.k, kColumns);
  const std::int64_t sum_row = panels_of(wide) * kPanelLines + 16, pairs_size = planes * deep / 2 * piece_pair_row(wide);
  std::uint16_t* panel = room(rooms_.size() - 1, panel_elements(s.n, planes));
  pack_left_panels(source_of(dy, s.n, 0, true), {s.m, s.n, planes}, panel);
  prepare(pairs_size + 2 * kPanelLines * sum_row);
  team_.run((s.k + kColumns - 1) / kColumns, [&](std::int64_t task, int member) {
    const std::int64_t first = task * kColumns, columns = std::min(kColumns, s.k - first);
    std::uint16_t* pairs = starts_[static_cast<std::size_t>(member)];
    auto* sums = reinterpret_cast<float*>(pairs + pairs_size);
    tiles_begin();
    for (std::int64_t n = 0; n < s.n; n += deep) {
      const WeightPiece piece{w.f32() + n * s.k + first, s.k, std::min(deep, s.n - n), columns, planes};
      convert_row_pairs(piece, pairs);
      for (std::int64_t column = 0; column < columns; column += kPanelLines) {
        if (n == 0)
          zero_tile_sums();
        else
          load_tile_sums(sums + column, sum_row);
        add_panel_by_pairs(panel + n * kPanelLines * planes, pairs + 2 * column, piece);
        store_tile_sums(sums + column, sum_row);
      }
    }
    tiles_end();
    for (std::int64_t row = 0; row < s.m; ++row) write_row(sums + row * sum_row, columns, dx, row * s.k + first);
  });
}

// Along the rows of dw, so that it is written in its order.
double FewRows::grad_weight(const LinearSize& s, Tensor dy, Tensor x, float* dw, Into into) {
  const std::int64_t planes = planes_of(dy.dtype), size = panel_elements(s.m, planes);
  std::uint16_t* left = room(rooms_.size() - 2, panels_of(s.n) * size);
  std::uint16_t* right = room(rooms_.size() - 1, panels_of(s.k) * size);
  pack_left_panels(source_of(dy, s.n, 0, false), {s.n, s.m, planes}, left);
  pack_right_panels(source_of(x, s.k, 0, false), {s.k, s.m, planes}, right);
  const TilePart part{kPanelLines, s.m, planes};
  squares_.assign(static_cast<std::size_t>(panels_of(s.n)), 0);
  team_.run(panels_of(s.n), [&](std::int64_t piece, int) {
    const std::int64_t row = piece * kPanelLines;
    tiles_begin();
    for (std::int64_t column = 0; column < s.k; column += kPanelLines) {
      const TileOutput out{dw + row * s.k + column, s.k, nullptr, std::min(kPanelLines, s.n - row),
                           std::min(kPanelLines, s.k - column), false, into == Into::kAdd};
      multiply_panels(left + piece * size, right + column / kPanelLines * size, part, out);
    }
    tiles_end();
    if (into == Into::kSet)
      squares_[static_cast<std::size_t>(piece)] = kernels_.squared_norm(dw + row * s.k, std::min(kPanelLines, s.n - row) * s.k);
  });
  return std::accumulate(squares_.begin(), squares_.end(), 0.0);
}
#else
void FewRows::forward(const LinearSize&, Tensor, Tensor, const float*, Tensor) { COVEY_CHECK(tiles_); }
void FewRows::grad_input(const LinearSize&, Tensor, Tensor, Tensor) { COVEY_CHECK(tiles_); }
double FewRows::grad_weight(const LinearSize&, Tensor, Tensor, float*, Into) {
  COVEY_CHECK(tiles_);
  return 0;
}
#endif

}  // namespace covey::cpu
