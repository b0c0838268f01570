// Products of few rows with a weight by tiles; see kernels.h for why nothing of the standard library may be
// included here.
#include "core/tensor/cpu/amx_few.h"

#include <immintrin.h>

namespace covey::cpu {
namespace {

#include "core/tensor/cpu/amx_tiles.inc"
#include "core/tensor/cpu/amx_transpose.inc"

std::int64_t rounded_up(std::int64_t n) { return (n + 31) / 32 * 32; }

template <int kPlanes>
void convert(const WeightPiece& piece, std::uint16_t* to) {
  const std::int64_t rows = rounded_up(piece.rows), columns = rounded_up(piece.columns), row_size = piece_row(piece.columns);
  const std::int64_t plane_size = rows * row_size;
  __m512i bits[kPlanes][16];
  for (std::int64_t row = 0; row < rows; ++row, to += row_size) {
    const float* from = piece.from + row * piece.stride;
    const std::int64_t some = row < piece.rows ? piece.columns : 0;
    for (std::int64_t i = 0; i < columns; i += 32) {
      split<kPlanes>({_mm512_maskz_loadu_ps(low16(some - i), from + i), _mm512_maskz_loadu_ps(low16(some - i - 16), from + i + 16)}, 0, bits);
      for (int plane = 0; plane < kPlanes; ++plane) _mm512_store_si512(to + plane * plane_size + i, bits[plane][0]);
    }
  }
}

template <int kPlanes>
void convert_pairs(const WeightPiece& piece, std::uint16_t* to) {
  const std::int64_t rows = rounded_up(piece.rows), columns = rounded_up(piece.columns), row_size = piece_pair_row(piece.columns);
  const std::int64_t plane_size = rows / 2 * row_size;
  __m512i bits[kPlanes][16];
  for (std::int64_t row = 0; row < rows; row += 2, to += row_size) {
    const float *first = piece.from + row * piece.stride, *second = first + piece.stride;
    const std::int64_t some = row < piece.rows ? piece.columns : 0, more = row + 1 < piece.rows ? piece.columns : 0;
    for (std::int64_t i = 0; i < columns; i += 16) {
      split_pairs<kPlanes>({_mm512_maskz_loadu_ps(low16(some - i), first + i), _mm512_maskz_loadu_ps(low16(more - i), second + i)}, 0, bits);
      for (int plane = 0; plane < kPlanes; ++plane) _mm512_store_si512(to + plane * plane_size + 2 * i, bits[plane][0]);
    }
  }
}

template <int kPlanes>
void rows_by_panel(const std::uint16_t* rows, const WeightPiece& piece, const std::uint16_t* panel) {
  const std::int64_t row = piece_row(piece.columns);
  const Steps left{16 * row, rounded_up(piece.rows) * row, 2 * row};
  const Steps right{kTileElements, kPanelTile, kRowBytes};
  for (std::int64_t k = 0; k < piece.columns; k += kTileDepth, panel += kPlanes * kPanelTile)
    add_products<kPlanes>(rows + k, left, panel, right);
}

template <int kPlanes>
void panel_by_pairs(const std::uint16_t* panel, const std::uint16_t* pairs, const WeightPiece& piece) {
  const std::int64_t row = piece_pair_row(piece.columns);
  const Steps left{kTileElements, kPanelTile, kRowBytes};
  const Steps right{32, rounded_up(piece.rows) / 2 * row, 2 * row};
  for (std::int64_t k = 0; k < piece.rows; k += kTileDepth, panel += kPlanes * kPanelTile)
    add_products<kPlanes>(panel, left, pairs + k / 2 * row, right);
}

}  // namespace

void convert_rows(const WeightPiece& piece, std::uint16_t* to) {
  if (piece.planes == 1)
    convert<1>(piece, to);
  else
    convert<3>(piece, to);
}

void convert_row_pairs(const WeightPiece& piece, std::uint16_t* to) {
  if (piece.planes == 1)
    convert_pairs<1>(piece, to);
  else
    convert_pairs<3>(piece, to);
}

void add_rows_by_panel(const std::uint16_t* rows, const WeightPiece& piece, const std::uint16_t* panel) {
  if (piece.planes == 1)
    rows_by_panel<1>(rows, piece, panel);
  else
    rows_by_panel<3>(rows, piece, panel);
}

void add_panel_by_pairs(const std::uint16_t* panel, const std::uint16_t* pairs, const WeightPiece& piece) {
  if (piece.planes == 1)
    panel_by_pairs<1>(panel, pairs, piece);
  else
    panel_by_pairs<3>(panel, pairs, piece);
}

void zero_tile_sums() { zero_sums(); }
void load_tile_sums(const float* sums, std::int64_t stride) { load_sums(sums, stride); }
void store_tile_sums(float* sums, std::int64_t stride) { store_sums(sums, stride); }

void transpose_sums(const float* from, float* to) {
  __m512i r[16];
  for (int block = 0; block < 4; ++block) {
    const int row = block / 2 * 16, column = block % 2 * 16;
    for (int i = 0; i < 16; ++i) r[i] = _mm512_load_si512(from + (row + i) * 32 + column);
    transpose(r);
    for (int i = 0; i < 16; ++i) _mm512_store_si512(to + (column + i) * 32 + row, r[i]);
  }
}

}  // namespace covey::cpu
