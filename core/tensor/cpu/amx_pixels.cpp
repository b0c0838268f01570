// Images as rows of pixels (amx_conv.h), there and back, and gradients back through their pooling; see kernels.h for why nothing of the standard library
// may be included here.
#include <immintrin.h>

#include "core/tensor/cpu/amx_conv.h"

namespace covey::cpu {
namespace {

#include "core/tensor/cpu/amx_tiles.inc"
#include "core/tensor/cpu/amx_transpose.inc"

// Sixteen pixels, of 16 channels each.
inline void load_pixels(const float* const* rows, std::int64_t pixel, __m512* to) {
  __m512i r[16];
  for (int c = 0; c < 16; ++c)
    r[c] = rows[c] == nullptr ? _mm512_setzero_si512() : _mm512_loadu_si512(rows[c] + pixel);
  transpose(r);
  for (int i = 0; i < 16; ++i) to[i] = _mm512_castsi512_ps(r[i]);
}

template <int kPlanes>
void pack_rows(const float* const* rows, const PixelRows& size, std::uint16_t* to) {
  const std::int64_t plane_size = size.channels * size.pixels;
  __m512 low[16], high[16];
  __m512i bits[kPlanes][16];
  for (std::int64_t channel = 0; channel < size.channels; channel += 32, rows += 32) {
    for (std::int64_t pixel = 0; pixel < size.pixels; pixel += 16, to += 16 * 32) {
      load_pixels(rows, pixel, low);
      load_pixels(rows + 16, pixel, high);
      for (int i = 0; i < 16; ++i) {
        split<kPlanes>({low[i], high[i]}, i, bits);
        for (int plane = 0; plane < kPlanes; ++plane) _mm512_store_si512(to + plane * plane_size + 32 * i, bits[plane][i]);
      }
    }
  }
}

// The planes of an element, each in the upper half of 32 bits.
template <int kPlanes>
inline void cut_planes(__m512 x, __m512* planes) {
  if constexpr (kPlanes == 1) {
    planes[0] = widened(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(x)));
  } else {
    const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000U));
    for (int plane = 0; plane < 2; ++plane) {
      planes[plane] = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(x), upper));
      x = _mm512_sub_ps(x, planes[plane]);  // exact
    }
    planes[2] = x;
  }
}

template <int kPlanes>
void pack_row_pairs(const float* const* rows, const PixelRows& size, std::uint16_t* to) {
  const std::int64_t plane_size = size.channels * size.pixels;
  std::uint16_t* odd = to + kPlanes * plane_size;
  __m512 pixels[16], last[kPlanes], one[kPlanes], two[kPlanes];
  for (std::int64_t channel = 0; channel < size.channels; channel += 16, rows += 16) {
    for (std::int64_t pixel = 0; pixel < size.pixels; pixel += 16, to += 8 * 32, odd += 8 * 32) {
      load_pixels(rows, pixel, pixels);
      for (int i = 0; i < 16; i += 2) {
        cut_planes<kPlanes>(pixels[i], one);
        cut_planes<kPlanes>(pixels[i + 1], two);
        for (int plane = 0; plane < kPlanes; ++plane) {
          std::uint16_t* after = odd + plane * plane_size + 16 * i;
          if (pixel + i > 0) _mm512_store_si512(after - 32, beside({last[plane], one[plane]}));
          _mm512_store_si512(to + plane * plane_size + 16 * i, beside({one[plane], two[plane]}));
          last[plane] = two[plane];
        }
      }
    }
    for (int plane = 0; plane < kPlanes; ++plane)
      _mm512_store_si512(odd + plane * plane_size - 32, beside({last[plane], _mm512_setzero_ps()}));
  }
}

// The first `some` pixels' 16 channels as lines of `count` channels, `length` apart.
struct Lines {
  std::int64_t count, length;
  __mmask16 some;
};
template <bool kBf16>
inline void store_lines(__m512* pixels, Lines lines, void* to, std::int64_t at) {
  __m512i r[16];
  for (int i = 0; i < 16; ++i) r[i] = _mm512_castps_si512(pixels[i]);
  transpose(r);
  for (int c = 0; c < 16 && c < lines.count; ++c, at += lines.length) {
    if constexpr (kBf16)
      _mm256_mask_storeu_epi16(static_cast<std::uint16_t*>(to) + at, lines.some,
                               reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(_mm512_castsi512_ps(r[c]))));
    else
      _mm512_mask_storeu_epi32(static_cast<float*>(to) + at, lines.some, r[c]);
  }
}

inline __m512 bias_of(const float* bias, std::int64_t channel, std::int64_t count) {
  return bias == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(low16(count - channel), bias + channel);
}

template <bool kBf16>
void gather(const float* from, std::int64_t stride, const PaddedImages& size, const float* bias, void* to) {
  const std::int64_t plane = size.height * size.width;
  __m512 pixels[16];
  for (std::int64_t y = 0; y < size.height; ++y) {
    for (std::int64_t x = 0; x < size.width; x += 16) {
      const float* at = from + (y * size.pitch + x) * stride;
      const std::int64_t left = size.width - x;
      for (std::int64_t channel = 0; channel < size.count; channel += 16) {
        const __m512 more = bias_of(bias, channel, size.count);
        for (int i = 0; i < 16; ++i)
          pixels[i] = i < left ? _mm512_add_ps(_mm512_loadu_ps(at + i * stride + channel), more) : _mm512_setzero_ps();
        store_lines<kBf16>(pixels, {size.count - channel, plane, low16(left)}, to, channel * plane + y * size.width + x);
      }
    }
  }
}

inline void take_larger(__m512 value, int at, __m512& best, __m512i& place) {
  const __mmask16 larger = _mm512_cmp_ps_mask(value, best, _CMP_GT_OQ);
  best = _mm512_mask_mov_ps(best, larger, value);
  place = _mm512_mask_mov_epi32(place, larger, _mm512_set1_epi32(at));
}

// Sixteen windows' largest, in their order over the whole image, are lines of a plane again.
template <bool kBf16>
void pool(const float* from, std::int64_t stride, const PaddedImages& size, const float* bias, const PooledOutput& out) {
  const std::int64_t columns = size.width / 2, windows = size.height / 2 * columns;
  __m512 largest[16], places[16];
  for (std::int64_t first = 0; first < windows; first += 16) {
    for (std::int64_t channel = 0; channel < size.count; channel += 16) {
      const __m512 more = bias_of(bias, channel, size.count);
      for (int i = 0; i < 16; ++i) {
        largest[i] = places[i] = _mm512_setzero_ps();
        if (first + i >= windows) continue;
        const std::int64_t y = (first + i) / columns * 2, x = (first + i) % columns * 2;
        const float* at = from + (y * size.pitch + x) * stride + channel;
        const auto value = [&](std::int64_t pixel) {
          const __m512 sum = _mm512_add_ps(_mm512_loadu_ps(at + pixel * stride), more);
          return kBf16 ? widened(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(sum))) : sum;
        };
        const int place = static_cast<int>(y * size.width + x), width = static_cast<int>(size.width);
        __m512 best = value(0);
        __m512i where = _mm512_set1_epi32(place);
        take_larger(value(1), place + 1, best, where);
        take_larger(value(size.pitch), place + width, best, where);
        take_larger(value(size.pitch + 1), place + width + 1, best, where);
        largest[i] = _mm512_mask_mov_ps(best, _mm512_cmp_ps_mask(best, _mm512_setzero_ps(), _CMP_LT_OQ), _mm512_setzero_ps());
        places[i] = _mm512_castsi512_ps(where);
      }
      const Lines lines{size.count - channel, windows, low16(windows - first)};
      store_lines<kBf16>(largest, lines, out.y, channel * windows + first);
      store_lines<false>(places, lines, out.argmax, channel * windows + first);
    }
  }
}

template <bool kBf16>
void spread_windows(const PooledInput& from, const PaddedImages& all, float* to, float* sums) {
  const PaddedImages size = all;
  const std::int64_t columns = size.width / 2;
  const auto value = [](const void* data, std::int64_t at, __mmask16 some) {
    if constexpr (kBf16) return widened(_mm256_maskz_loadu_epi16(some, static_cast<const std::uint16_t*>(data) + at));
    return _mm512_maskz_loadu_ps(some, static_cast<const float*>(data) + at);
  };
  const __m512i twos = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i first = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  const __m512i second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
  std::int64_t at = 0;
  for (std::int64_t image = 0; image < size.count; ++image, to += size.length) {
    __m512 sum = _mm512_setzero_ps();
    for (std::int64_t row = 0; row + 1 < size.height; row += 2, at += columns) {
      for (std::int64_t j = 0; j < columns; j += 16) {
        const __mmask16 some = low16(columns - j);
        const __mmask16 passed = _mm512_cmp_ps_mask(value(from.y, at + j, some), _mm512_setzero_ps(), _CMP_GT_OQ);
        const __m512 d = _mm512_maskz_mov_ps(passed, value(from.dy, at + j, some));
        sum = _mm512_add_ps(sum, d);
        const __m512i place = _mm512_maskz_loadu_epi32(some, from.argmax + at + j);
        const auto at_corner = [&](std::int64_t corner) {
          const __m512i own = _mm512_add_epi32(twos, _mm512_set1_epi32(static_cast<std::int32_t>(corner + row * size.width + 2 * j)));
          return _mm512_maskz_mov_ps(_mm512_cmpeq_epi32_mask(place, own), d);
        };
        const auto put = [&](std::int64_t corner, float* out) {
          const __m512 left = at_corner(corner), right = at_corner(corner + 1);
          _mm512_mask_storeu_ps(out, low16(2 * (columns - j)), _mm512_permutex2var_ps(left, first, right));
          _mm512_mask_storeu_ps(out + 16, low16(2 * (columns - j) - 16), _mm512_permutex2var_ps(left, second, right));
        };
        put(0, to + row * size.pitch + 2 * j);
        put(size.width, to + (row + 1) * size.pitch + 2 * j);
      }
    }
    sums[image] += _mm512_reduce_add_ps(sum);
  }
}

}  // namespace

void spread_pooled(const PooledInput& from, const PaddedImages& size, float* to, float* sums) {
  if (from.bf16)
    spread_windows<true>(from, size, to, sums);
  else
    spread_windows<false>(from, size, to, sums);
}

void pack_pixels(const float* const* rows, const PixelRows& size, std::uint16_t* to) {
  if (size.planes == 1)
    pack_rows<1>(rows, size, to);
  else
    pack_rows<3>(rows, size, to);
}

void pack_pixel_pairs(const float* const* rows, const PixelRows& size, std::uint16_t* to) {
  if (size.planes == 1)
    pack_row_pairs<1>(rows, size, to);
  else
    pack_row_pairs<3>(rows, size, to);
}

void gather_pixels(const float* from, std::int64_t stride, const PaddedImages& size, const float* bias, void* to, bool bf16) {
  if (bf16)
    gather<true>(from, stride, size, bias, to);
  else
    gather<false>(from, stride, size, bias, to);
}

void gather_pooled_pixels(const float* from, std::int64_t stride, const PaddedImages& size, const float* bias,
                          const PooledOutput& out) {
  if (out.bf16)
    pool<true>(from, stride, size, bias, out);
  else
    pool<false>(from, stride, size, bias, out);
}

}  // namespace covey::cpu
