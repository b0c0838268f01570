// Convolutions on the tiles; see kernels.h for why nothing of the standard library may be included here.
#include "core/tensor/cpu/amx_conv.h"

#include <immintrin.h>

namespace covey::cpu {
namespace {

#include "core/tensor/cpu/amx_tiles.inc"

template <int kPlanes>
void multiply_pairs(const std::uint16_t* weights, const std::uint16_t* pairs, const ConvLines& size,
                    const ConvTaps& taps, std::int64_t column) {
  const Steps left{kTileElements, kPanelTile, kRowBytes};
  const Steps right{32, size.lines * size.length, 4 * size.length};
  for (std::int64_t tap = 0; tap < taps.count; ++tap) {
    const std::uint16_t* from = pairs + 2 * (column + taps.shifts[tap]);
    for (std::int64_t line = 0; line < size.lines; line += kTileDepth, weights += kPlanes * kPanelTile)
      add_products<kPlanes>(weights, left, from + line * size.length, right);
  }
}

template <int kPlanes>
void multiply_slots(const std::uint16_t* lines, const std::uint16_t* panel, const ConvLines& size,
                    const ConvSlots& slots) {
  const Steps left{16 * size.length, size.lines * size.length, 2 * size.length};
  const Steps right{kTileElements, kPanelTile, kRowBytes};
  for (std::int64_t slot = 0; slot < slots.count; ++slot) {
    const std::uint16_t *from = lines + slot * slots.line_slot, *to = panel + slot * slots.panel_slot;
    for (std::int64_t k = 0; k < slots.depth; k += kTileDepth, to += kPlanes * kPanelTile)
      add_products<kPlanes>(from + k, left, to, right);
  }
}

inline void begin_sums(const ConvSlots& slots, const float* sums, std::int64_t stride) {
  if (slots.sets)
    zero_sums();
  else
    load_sums(sums, stride);
}

template <int kPlanes>
void multiply_rows(const std::uint16_t* pixels, const std::uint16_t* weights, const PixelRows& size,
                   const ConvTaps& taps, std::int64_t row) {
  const Steps left{kTileElements, size.channels * size.pixels, kRowBytes};
  const Steps right{kTileElements, kPanelTile, kRowBytes};
  for (std::int64_t tap = 0; tap < taps.count; ++tap) {
    const std::uint16_t* from = pixels + (row + taps.shifts[tap]) * kTileDepth;
    for (std::int64_t channel = 0; channel < size.channels; channel += kTileDepth, weights += kPlanes * kPanelTile)
      add_products<kPlanes>(from + channel * size.pixels, left, weights, right);
  }
}

template <int kPlanes>
void multiply_row_pairs(const std::uint16_t* panel, const std::uint16_t* pairs, const PixelRows& size,
                        const ConvSlots& slots) {
  const Steps left{kTileElements, kPanelTile, kRowBytes};
  const Steps right{16 * size.pixels, size.channels * size.pixels, kRowBytes};
  for (std::int64_t slot = 0; slot < slots.count; ++slot) {
    const std::uint16_t *from = panel + slot * slots.panel_slot, *to = pairs + slot * slots.line_slot;
    for (std::int64_t k = 0; k < slots.depth; k += kTileDepth, from += kPlanes * kPanelTile, to += kTileElements)
      add_products<kPlanes>(from, left, to, right);
  }
}

template <int kPlanes>
void pack_pairs(const float* const* rows, const ConvLines& size, std::uint16_t* to) {
  const std::int64_t plane_size = size.lines * size.length;
  __m512i bits[kPlanes][16];
  for (std::int64_t line = 0; line < size.lines; line += 2, to += 2 * size.length) {
    const float *first = rows[line], *second = rows[line + 1];
    for (std::int64_t i = 0; i < size.length; i += 16) {
      const __m512 a = first == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(first + i);
      const __m512 b = second == nullptr ? _mm512_setzero_ps() : _mm512_loadu_ps(second + i);
      split_pairs<kPlanes>({a, b}, 0, bits);
      for (int plane = 0; plane < kPlanes; ++plane) _mm512_store_si512(to + plane * plane_size + 2 * i, bits[plane][0]);
    }
  }
}

template <int kPlanes>
void pack_each(const float* const* rows, const ConvLines& size, std::uint16_t* to) {
  const std::int64_t plane_size = size.lines * size.length;
  __m512i bits[kPlanes][16];
  for (std::int64_t line = 0; line < size.lines; ++line, to += size.length) {
    const float* row = rows[line];
    for (std::int64_t i = 0; i < size.length; i += 32) {
      if (row == nullptr)
        split<kPlanes>({_mm512_setzero_ps(), _mm512_setzero_ps()}, 0, bits);
      else
        split<kPlanes>({_mm512_loadu_ps(row + i), _mm512_loadu_ps(row + i + 16)}, 0, bits);
      for (int plane = 0; plane < kPlanes; ++plane) _mm512_store_si512(to + plane * plane_size + i, bits[plane][0]);
    }
  }
}

// Thirty-two values of a row, and where the windows' corners take theirs.
struct Row {
  __m512 even, odd;
};
template <bool kRounds>
inline Row pooled_row(const float* from, std::int64_t left, __m512 bias) {
  const auto value = [&](std::int64_t at) {
    const __m512 sum = _mm512_add_ps(_mm512_maskz_loadu_ps(low16(left - at), from + at), bias);
    return kRounds ? widened(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sum))) : sum;
  };
  const __m512 low = value(0), high = value(16);
  const __m512i evens = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  return {_mm512_permutex2var_ps(low, evens, high),
          _mm512_permutex2var_ps(low, _mm512_add_epi32(evens, _mm512_set1_epi32(1)), high)};
}

inline void take_larger(__m512 value, __m512i at, __m512& best, __m512i& place) {
  const __mmask16 larger = _mm512_cmp_ps_mask(value, best, _CMP_GT_OQ);
  best = _mm512_mask_mov_ps(best, larger, value);
  place = _mm512_mask_mov_epi32(place, larger, at);
}

template <bool kBf16>
void pool_images(const float* from, const PaddedImages& size, const float* bias, const PooledOutput& out) {
  const std::int64_t columns = size.width / 2;
  const __m512i twos = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  std::int64_t row = 0;  // of the output
  for (std::int64_t image = 0; image < size.count; ++image, from += size.length) {
    const __m512 more = _mm512_set1_ps(bias == nullptr ? 0.0F : bias[image]);
    for (std::int64_t y = 0; y + 1 < size.height; y += 2, ++row) {
      for (std::int64_t j = 0; j < columns; j += 16) {
        const float* at = from + y * size.pitch + 2 * j;
        const Row top = pooled_row<kBf16>(at, size.width - 2 * j, more);
        const Row bottom = pooled_row<kBf16>(at + size.pitch, size.width - 2 * j, more);
        const auto place_of = [&](std::int64_t corner) {
          return _mm512_add_epi32(twos, _mm512_set1_epi32(static_cast<std::int32_t>(y * size.width + 2 * j + corner)));
        };
        __m512 best = top.even;
        __m512i place = place_of(0);
        take_larger(top.odd, place_of(1), best, place);
        take_larger(bottom.even, place_of(size.width), best, place);
        take_larger(bottom.odd, place_of(size.width + 1), best, place);
        best = _mm512_mask_mov_ps(best, _mm512_cmp_ps_mask(best, _mm512_setzero_ps(), _CMP_LT_OQ), _mm512_setzero_ps());
        const __mmask16 some = low16(columns - j);
        const std::int64_t to = row * columns + j;
        _mm512_mask_storeu_epi32(out.argmax + to, some, place);
        if constexpr (kBf16)
          _mm256_mask_storeu_epi16(static_cast<std::uint16_t*>(out.y) + to, some,
                                   reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(best)));
        else
          _mm512_mask_storeu_ps(static_cast<float*>(out.y) + to, some, best);
      }
    }
  }
}

}  // namespace

void gather_pooled(const float* from, const PaddedImages& size, const float* bias, const PooledOutput& out) {
  if (out.bf16)
    pool_images<true>(from, size, bias, out);
  else
    pool_images<false>(from, size, bias, out);
}

void spread_images(const void* from, bool bf16, const PaddedImages& size, float* to) {
  const auto* floats = static_cast<const float*>(from);
  const auto* halves = static_cast<const std::uint16_t*>(from);
  for (std::int64_t image = 0; image < size.count; ++image, to += size.length) {
    for (std::int64_t y = 0; y < size.height; ++y) {
      for (std::int64_t x = 0; x < size.width; x += 16) {
        const __mmask16 some = low16(size.width - x);
        const std::int64_t at = (image * size.height + y) * size.width + x;
        const __m512 value = bf16 ? widened(_mm256_maskz_loadu_epi16(some, halves + at)) : _mm512_maskz_loadu_ps(some, floats + at);
        _mm512_mask_storeu_ps(to + y * size.pitch + x, some, value);
      }
    }
  }
}

void gather_images(const float* from, const PaddedImages& size, const float* bias, void* to, bool bf16) {
  auto* floats = static_cast<float*>(to);
  auto* halves = static_cast<std::uint16_t*>(to);
  for (std::int64_t image = 0; image < size.count; ++image, from += size.length) {
    const __m512 more = _mm512_set1_ps(bias == nullptr ? 0.0F : bias[image]);
    for (std::int64_t y = 0; y < size.height; ++y) {
      for (std::int64_t x = 0; x < size.width; x += 16) {
        const __mmask16 some = low16(size.width - x);
        const std::int64_t at = (image * size.height + y) * size.width + x;
        const __m512 value = _mm512_add_ps(_mm512_maskz_loadu_ps(some, from + y * size.pitch + x), more);
        if (bf16)
          _mm256_mask_storeu_epi16(halves + at, some, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value)));
        else
          _mm512_mask_storeu_ps(floats + at, some, value);
      }
    }
  }
}

void pack_line_pairs(const float* const* rows, const ConvLines& size, std::uint16_t* to) {
  if (size.planes == 1)
    pack_pairs<1>(rows, size, to);
  else
    pack_pairs<3>(rows, size, to);
}

void pack_lines(const float* const* rows, const ConvLines& size, std::uint16_t* to) {
  if (size.planes == 1)
    pack_each<1>(rows, size, to);
  else
    pack_each<3>(rows, size, to);
}

void multiply_line_pairs(const std::uint16_t* weights, const std::uint16_t* pairs, const ConvLines& size,
                         const ConvTaps& taps, std::int64_t column, float* sums, std::int64_t stride) {
  zero_sums();
  if (size.planes == 1)
    multiply_pairs<1>(weights, pairs, size, taps, column);
  else
    multiply_pairs<3>(weights, pairs, size, taps, column);
  store_sums(sums, stride);
}

void multiply_lines(const std::uint16_t* lines, const std::uint16_t* panel, const ConvLines& size,
                    const ConvSlots& slots, float* sums, std::int64_t stride) {
  begin_sums(slots, sums, stride);
  if (size.planes == 1)
    multiply_slots<1>(lines, panel, size, slots);
  else
    multiply_slots<3>(lines, panel, size, slots);
  store_sums(sums, stride);
}

void multiply_pixels(const std::uint16_t* pixels, const std::uint16_t* weights, const PixelRows& size,
                     const ConvTaps& taps, std::int64_t row, float* sums, std::int64_t stride) {
  zero_sums();
  if (size.planes == 1)
    multiply_rows<1>(pixels, weights, size, taps, row);
  else
    multiply_rows<3>(pixels, weights, size, taps, row);
  store_sums(sums, stride);
}

void multiply_pixel_pairs(const std::uint16_t* panel, const std::uint16_t* pairs, const PixelRows& size,
                          const ConvSlots& slots, float* sums, std::int64_t stride) {
  begin_sums(slots, sums, stride);
  if (size.planes == 1)
    multiply_row_pairs<1>(panel, pairs, size, slots);
  else
    multiply_row_pairs<3>(panel, pairs, size, slots);
  store_sums(sums, stride);
}

void add_scaled_rows(const ScaledRows& from, std::int64_t n, float* to) {
  constexpr std::int64_t kSome = 1024;  // sums that stay in the first cache from row to row
  for (std::int64_t i = 0; i < n; i += kSome) {
    const std::int64_t end = n - i < kSome ? n : i + kSome;
    for (std::int64_t row = 0; row < from.count; ++row) {
      const float* values = from.rows + row * from.stride;
      const __m512 factor = _mm512_set1_ps(from.factors[row]);
      for (std::int64_t j = i; j < end; j += 16) {
        const __mmask16 some = low16(end - j);
        const __m512 sum = row == 0 ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(some, to + j);
        _mm512_mask_storeu_ps(to + j, some, _mm512_fmadd_ps(factor, _mm512_maskz_loadu_ps(some, values + j), sum));
      }
    }
  }
}

}  // namespace covey::cpu
