// Matrix products in 16x16 tiles of bf16 pairs with f32 sums: Intel AMX (Intel SDM vol. 1, chapter 18).
// Operands are first packed into panels of 32 lines, where a line is a row of the left operand or a
// column of the right one, so that what the tiles load is contiguous.
//
// f32 operands are split into three bf16 numbers, x = x0 + x1 + x2 (8 bits each), and six of the nine
// partial products are added, the rest being below f32's own rounding. That gives f32's accuracy at 1/6
// of the tiles' speed, which is still more than twice what the vector units reach. An infinite or
// overflowing element of such an operand makes NaN.
#pragma once
#include <cstdint>

#include "core/tensor/cpu/kernels.h"

namespace covey::cpu {

// Whether the processor has AMX for bf16, the operating system saves its registers, and it granted
// this process their use (asked for at the first call).
bool amx_usable();

constexpr std::int64_t kPanelLines = 32;
constexpr std::int64_t kTileDepth = 32;  // elements along k in one tile

struct TileSource {
  const void* data;      // f32, or bf16 where `bf16` says so
  std::int64_t stride;   // elements from one stored row to the next
  bool along_k;          // stored rows are lines: k is contiguous; else they are k, lines contiguous
  bool bf16;
};
struct TileOutput {
  void* data;           // of this block's first element: f32, or bf16
  std::int64_t stride;  // elements
  const float* bias;    // of this block's first column; may be null
  std::int64_t rows, columns;  // of at most 32 each
  bool bf16, accumulate;       // accumulate: f32 only, without a bias
  bool stream = false;         // past the caches; f32 only, without a bias
  double* squares = nullptr;   // becomes the sum of this block's; f32 only, without a bias
};

// Elements (16 bits) of a panel with `depth` along k.
constexpr std::int64_t panel_elements(std::int64_t depth, std::int64_t planes) {
  return (depth + kTileDepth - 1) / kTileDepth * kTileDepth * kPanelLines * planes;
}

#ifdef COVEY_X86_KERNELS
// Needs amx_usable(). planes: 1 for bf16 operands, or f32 rounded to bf16; 3 for f32 in f32's accuracy.
struct TilePart {
  std::int64_t lines;  // in panels of 32 one after the other: the rest of the last is zero
  std::int64_t depth;  // along k: the rest of the last tile is zero
  std::int64_t planes;
  std::int64_t panel = 0;  // elements from one panel to the next, where it is more than depth takes; else 0
  // What comes after, in lines of 64 bytes: asked for while this is multiplied.
  const std::uint16_t* next = nullptr;
  std::int64_t next_lines = 0;
};
void pack_left_panels(TileSource from, TilePart part, std::uint16_t* to);
void pack_right_panels(TileSource from, TilePart part, std::uint16_t* to);

// Sums that are to be rounded, added to or squared on their way to where they go are written while the block after
// them is multiplied: two blocks take turns. A block's output is described in next(), field by field, for copying what
// was just written would wait for the tiles before it.
struct TileTurns {
  struct alignas(64) Block {
    float sums[kPanelLines * kPanelLines];
    double squares[32];       // of the rows written, in lanes
    TileOutput out;
    std::int64_t row = 0, rows = 0;  // written, to be written
  };
  Block blocks[2];
  int turn = 0;
  TileOutput& next() { return blocks[turn].out; }
};

void tiles_begin();  // on each thread before multiply_panels, and
void tiles_end();    // after
// `out` by reference for the same reason; neither stream nor squares.
void multiply_panels(const std::uint16_t* left, const std::uint16_t* right, const TilePart& part, const TileOutput& out);
void multiply_panels(const std::uint16_t* left, const std::uint16_t* right, const TilePart& part, TileTurns& turns);
void finish_turns(TileTurns& turns);  // after the last

// Attention as TypedKernels' (kernels.h), by tiles; scratch of that many floats, 64-byte aligned.
std::int64_t tile_attention_scratch(HeadSize size, std::int64_t planes);
void tile_attention(HeadSize size, const HeadForward<float>& tensors, float* scratch);
void tile_attention(HeadSize size, const HeadForward<Bf16>& tensors, float* scratch);
void tile_attention_grad(HeadSize size, const HeadGradient<float>& tensors, float* scratch);
void tile_attention_grad(HeadSize size, const HeadGradient<Bf16>& tensors, float* scratch);
#endif

}  // namespace covey::cpu
