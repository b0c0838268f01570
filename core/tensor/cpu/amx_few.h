// A weight's rows in order, as one operand of the tiles (few_rows.h): read from the first element to the last, for
// then the processor fetches ahead; in the packed forms of amx.h a row is 128 bytes here and 128 there. Operands
// are bf16 in 1 or 3 planes, as in amx.h.
#pragma once
#include <cstdint>

#include "core/tensor/cpu/amx.h"

namespace covey::cpu {

#ifdef COVEY_X86_KERNELS
struct WeightPiece {
  const float* from;
  std::int64_t stride;         // elements from row to row
  std::int64_t rows, columns;  // the rest up to a multiple of 32 becomes zero
  std::int64_t planes;
};
// From one row, or pair of rows, to the next in what is made: an odd number of cache lines, so that a tile's rows
// do not fall into the same set.
constexpr std::int64_t piece_row(std::int64_t columns) { return (columns + 31) / 32 * 32 + 32 * (1 - (columns + 31) / 32 % 2); }
constexpr std::int64_t piece_pair_row(std::int64_t columns) { return 2 * ((columns + 31) / 32 * 32) + 32; }

// To: [plane][row][piece_row]
void convert_rows(const WeightPiece& piece, std::uint16_t* to);
// To: [plane][row / 2][piece_pair_row] pairs of two rows
void convert_row_pairs(const WeightPiece& piece, std::uint16_t* to);

// The sums in tiles: [32 rows] += piece times a right panel as deep as its columns. `rows` of convert_rows().
void add_rows_by_panel(const std::uint16_t* rows, const WeightPiece& piece, const std::uint16_t* panel);
// [.., 32 columns] += a left panel as deep as the piece's rows, times `pairs` of the first of 32 columns.
void add_panel_by_pairs(const std::uint16_t* panel, const std::uint16_t* pairs, const WeightPiece& piece);
void zero_tile_sums();
void load_tile_sums(const float* sums, std::int64_t stride);
void store_tile_sums(float* sums, std::int64_t stride);

void transpose_sums(const float* from, float* to);  // [32][32]
#endif

}  // namespace covey::cpu
