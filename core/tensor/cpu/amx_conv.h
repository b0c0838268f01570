// Convolutions on the tiles (amx.h) without an unfolded copy of the image: planes are stored with zeros
// around them, row after row, so that the input of every output under one tap of the kernel is the same
// line of elements, shifted. A row ends in the zeros that the next one begins with.
//
// A convolution of many planes has the pixels of an image as rows, of 32 planes each, so that what a tap sees
// are the same rows from another one on and a tile begins on a cache line: one whose rows all cross into the
// next line takes three times as long to load. One of few planes, which would not fill a tile, has
// "lines" along the image, one for each plane and tap. Operands are bf16, or three planes of it for f32 (there "planes" means those, as in amx.h).
#pragma once
#include <cstdint>

#include "core/tensor/cpu/amx.h"

namespace covey::cpu {

// Images: [count][height][width] as the caller stores them; padded: rows `pitch` apart, images `length`.
struct PaddedImages {
  std::int64_t count, height, width;
  std::int64_t pitch, length;
};

#ifdef COVEY_X86_KERNELS
// Writes the rows of f32 or bf16 images into padded ones that are zero; `to` is the first element inside.
void spread_images(const void* from, bool bf16, const PaddedImages& size, float* to);

// Writes the gradient of a convolution whose 2x2 windows were pooled, and then negative ones taken as 0: dy and
// y [count][height / 2][width / 2], f32 or bf16. What no window has is left as it is. sums[count] += those of dy.
struct PooledInput {
  const void *dy, *y;
  const std::int32_t* argmax;
  bool bf16;
};
void spread_pooled(const PooledInput& from, const PaddedImages& size, float* to, float* sums);

// The rows of padded images + bias, as f32 or bf16; bias [count] may be null.
void gather_images(const float* from, const PaddedImages& size, const float* bias, void* to, bool bf16);
// The same after 2x2 pooling, negative ones as 0; argmax as Ops::maxpool2's.
struct PooledOutput {
  void* y;
  std::int32_t* argmax;
  bool bf16;
};
void gather_pooled(const float* from, const PaddedImages& size, const float* bias, const PooledOutput& out);

struct ConvLines {
  std::int64_t lines;   // a multiple of 32
  std::int64_t length;  // elements of each, a multiple of 32
  std::int64_t planes;
};
// rows[lines]: where each begins, null for zeros. To: [plane][line / 2][length] pairs of two lines.
void pack_line_pairs(const float* const* rows, const ConvLines& size, std::uint16_t* to);
// To: [plane][line][length].
void pack_lines(const float* const* rows, const ConvLines& size, std::uint16_t* to);

struct PixelRows {
  std::int64_t channels;  // a multiple of 32
  std::int64_t pixels;    // a multiple of 32
  std::int64_t planes;
};
// rows[channels]: where the pixels of each begin, null for zeros. To: [plane][channel / 32][pixel][32].
void pack_pixels(const float* const* rows, const PixelRows& size, std::uint16_t* to);
// To: [2][plane][channel / 16][pixel / 2][16] pairs of two pixels: 0 and 1, 2 and 3 ..., then 1 and 2, ...
void pack_pixel_pairs(const float* const* rows, const PixelRows& size, std::uint16_t* to);

struct ConvTaps {
  const std::int64_t* shifts;
  std::int64_t count;
};
// sums[32][stride] = weights (a left panel as deep as taps * lines) times the pairs' columns
// [column, column + 32), shifted by each tap.
void multiply_line_pairs(const std::uint16_t* weights, const std::uint16_t* pairs, const ConvLines& size,
                         const ConvTaps& taps, std::int64_t column, float* sums, std::int64_t stride);

// sums[32][stride] = pixels [row, row + 32), shifted by each tap, times 32 outputs of the weights: a right
// panel as deep as taps * channels.
void multiply_pixels(const std::uint16_t* pixels, const std::uint16_t* weights, const PixelRows& size,
                     const ConvTaps& taps, std::int64_t row, float* sums, std::int64_t stride);

struct ConvSlots {  // images one after the other
  std::int64_t count, depth;        // depth: elements along k in each, a multiple of 32
  std::int64_t line_slot, panel_slot;  // elements from one to the next
  bool sets;                   // sums hold nothing yet: = instead of +=
};
// sums[32 lines][32 columns of the panel] (stride) += the products along all slots; `lines` is that of
// the first of 32 lines, shifted by a tap.
void multiply_lines(const std::uint16_t* lines, const std::uint16_t* panel, const ConvLines& size,
                    const ConvSlots& slots, float* sums, std::int64_t stride);
// sums[32 lines of the panel][32 channels] (stride) += the products along all slots; `panel` is a left one,
// `pairs` are those of the first of 32 channels and of the first pixel.
void multiply_pixel_pairs(const std::uint16_t* panel, const std::uint16_t* pairs, const PixelRows& size,
                          const ConvSlots& slots, float* sums, std::int64_t stride);

// As gather_images() and gather_pooled() from sums [pixel][stride] of a padded image; `stride` is at least
// size.count rounded up to 16.
void gather_pixels(const float* from, std::int64_t stride, const PaddedImages& size, const float* bias, void* to, bool bf16);
void gather_pooled_pixels(const float* from, std::int64_t stride, const PaddedImages& size, const float* bias,
                          const PooledOutput& out);

// to[n] = the sums of `count` rows [stride] times their factors, in their order.
struct ScaledRows {
  const float *rows, *factors;
  std::int64_t count, stride;
};
void add_scaled_rows(const ScaledRows& from, std::int64_t n, float* to);
#endif

}  // namespace covey::cpu
