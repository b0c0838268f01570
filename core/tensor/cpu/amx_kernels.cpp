// The tile kernels; see kernels.h for why nothing of the standard library may be included here.
#include <immintrin.h>

#include "core/tensor/cpu/amx.h"

namespace covey::cpu {
namespace {

#include "core/tensor/cpu/amx_tiles.inc"
#include "core/tensor/cpu/amx_transpose.inc"

template <int kPlanes>  // of an operand that is bf16 already
inline void no_rest(int line, __m512i (*rows)[16]) {
  for (int plane = 1; plane < kPlanes; ++plane) rows[plane][line] = _mm512_setzero_si512();
}

// Sixteen stored rows of 32 contiguous elements along k.
template <int kPlanes>
inline void load_lines(TileSource from, std::int64_t lines, std::int64_t depth, __m512i (*rows)[16]) {
  const __mmask32 all = low32(depth);
  for (int i = 0; i < 16; ++i) {
    if (i >= lines) {
      for (int plane = 0; plane < kPlanes; ++plane) rows[plane][i] = _mm512_setzero_si512();
      continue;
    }
    if (from.bf16) {
      rows[0][i] = _mm512_maskz_loadu_epi16(all, static_cast<const std::uint16_t*>(from.data) + i * from.stride);
      no_rest<kPlanes>(i, rows);
      continue;
    }
    const float* row = static_cast<const float*>(from.data) + i * from.stride;
    split<kPlanes>({_mm512_maskz_loadu_ps(static_cast<Half>(all), row),
                    _mm512_maskz_loadu_ps(static_cast<Half>(all >> 16), row + 16)}, i, rows);
  }
}

// Thirty-two stored rows of 16 contiguous lines, two rows of k side by side in each 32 bits.
template <int kPlanes>
inline void load_depths(TileSource from, std::int64_t lines, std::int64_t depth, __m512i (*rows)[16]) {
  const __mmask16 some = low16(lines);
  for (int i = 0; i < 16; ++i) {
    const __mmask16 first = 2 * i < depth ? some : 0, second = 2 * i + 1 < depth ? some : 0;
    if (from.bf16) {
      const std::uint16_t* row = static_cast<const std::uint16_t*>(from.data) + 2 * i * from.stride;
      const __m256i a = _mm256_maskz_loadu_epi16(first, row), b = _mm256_maskz_loadu_epi16(second, row + from.stride);
      rows[0][i] = _mm512_or_si512(_mm512_cvtepu16_epi32(a), _mm512_slli_epi32(_mm512_cvtepu16_epi32(b), 16));
      no_rest<kPlanes>(i, rows);
      continue;
    }
    const float* row = static_cast<const float*>(from.data) + 2 * i * from.stride;
    split_pairs<kPlanes>({_mm512_maskz_loadu_ps(first, row), _mm512_maskz_loadu_ps(second, row + from.stride)}, i, rows);
  }
}

// As load_depths() and then transpose() of each plane, in the other order: f32 are fewer to transpose.
template <int kPlanes>
inline void load_turned(TileSource from, std::int64_t lines, std::int64_t depth, __m512i (*rows)[16]) {
  const __mmask16 some = low16(lines);
  const float* data = static_cast<const float*>(from.data);
  __m512i low[16], high[16];
  for (int i = 0; i < 16; ++i) {
    low[i] = _mm512_castps_si512(_mm512_maskz_loadu_ps(i < depth ? some : 0, data + i * from.stride));
    high[i] = _mm512_castps_si512(_mm512_maskz_loadu_ps(i + 16 < depth ? some : 0, data + (i + 16) * from.stride));
  }
  transpose(low);
  transpose(high);
  for (int i = 0; i < 16; ++i) split<kPlanes>({_mm512_castsi512_ps(low[i]), _mm512_castsi512_ps(high[i])}, i, rows);
}

inline const void* moved(TileSource from, std::int64_t elements) {
  return static_cast<const char*>(from.data) + elements * (from.bf16 ? 2 : 4);
}

// Tiles jump from one stored row to the next, which the processor cannot foresee. So while the tiles of some rows
// are made, the rows after them are asked for as they lie: in that order it reads ahead by itself, too. Rows that
// lie apart are asked for by tiles.
struct Ahead {
  const char* row = nullptr;     // the one being asked for
  std::int64_t row_bytes = 0;    // of it, that are wanted
  std::int64_t stride_bytes = 0;
  std::int64_t rows = 0;         // left, this one included
  std::int64_t at = 0;           // bytes of this one that were asked for
};
inline Ahead ahead_of(TileSource from, std::int64_t row, std::int64_t rows, std::int64_t elements) {
  const std::int64_t size = from.bf16 ? 2 : 4;
  return {static_cast<const char*>(from.data) + row * from.stride * size, elements * size, from.stride * size,
          rows < kPanelLines ? rows : kPanelLines, 0};
}
// The tile after the next of these lines, or at their end of the next panel's.
inline Ahead tile_ahead(TileSource from, TilePart part, std::int64_t line, std::int64_t k) {
  k += 2 * kTileDepth;
  if (k >= part.depth) {
    k -= (part.depth + kTileDepth - 1) / kTileDepth * kTileDepth;
    line += kPanelLines;
  }
  if (k < 0 || line >= part.lines) return {};
  from.data = static_cast<const char*>(from.data) + k * (from.bf16 ? 2 : 4);
  return ahead_of(from, line, part.lines - line, kTileDepth);
}
inline void ask_for(Ahead& next, std::int64_t lines) {
  for (std::int64_t i = 0; i < lines && next.rows > 0; ++i) {
    _mm_prefetch(next.row + next.at, _MM_HINT_T1);
    next.at += 64;
    if (next.at < next.row_bytes) continue;
    next.at = 0;
    next.row += next.stride_bytes;
    --next.rows;
  }
}

// A panel's tiles at one depth. turned: what was loaded must be transposed to be a tile of this operand.
template <int kPlanes>
inline void pack_tiles(TileSource from, std::int64_t lines, std::int64_t depth, bool turned, std::uint16_t* to) {
  __m512i rows[kPlanes][16];
  for (std::int64_t half = 0; half < 2; ++half) {
    TileSource at = from;
    at.data = moved(from, from.along_k ? 16 * half * from.stride : 16 * half);
    const bool early = kPlanes == 3 && turned && !from.along_k && !from.bf16;
    if (early)
      load_turned<kPlanes>(at, lines - 16 * half, depth, rows);
    else if (from.along_k)
      load_lines<kPlanes>(at, lines - 16 * half, depth, rows);
    else
      load_depths<kPlanes>(at, lines - 16 * half, depth, rows);
    for (int plane = 0; plane < kPlanes; ++plane) {
      if (turned && !early) transpose(rows[plane]);
      std::uint16_t* tile = to + plane * kPanelTile + half * kTileElements;
      for (int i = 0; i < 16; ++i) _mm512_store_si512(tile + i * 32, rows[plane][i]);
    }
  }
}

// Stored rows are read whole before the next ones, as far as the panels reach.
template <int kPlanes>
void pack(TileSource from, TilePart part, bool turned, std::uint16_t* to) {
  const std::int64_t panel = part.panel > 0 ? part.panel : panel_elements(part.depth, kPlanes);
  const std::int64_t lines_of_tile = from.bf16 ? 32 : 64;
  const bool apart = from.along_k && from.stride > part.depth;
  Ahead next;
  const auto tiles = [&](std::int64_t line, std::int64_t k) {
    if (apart) next = tile_ahead(from, part, line, k);
    ask_for(next, lines_of_tile);
    TileSource at = from;
    at.data = moved(from, from.along_k ? line * from.stride + k : k * from.stride + line);
    pack_tiles<kPlanes>(at, part.lines - line, part.depth - k, turned,
                        to + line / kPanelLines * panel + k / kTileDepth * kPlanes * kPanelTile);
  };
  if (from.along_k) {
    for (std::int64_t line = 0; line < part.lines; line += kPanelLines) {
      next = ahead_of(from, line + kPanelLines, part.lines - line - kPanelLines, part.depth);
      for (std::int64_t k = 0; k < part.depth; k += kTileDepth) tiles(line, k);
    }
  } else {
    for (std::int64_t k = 0; k < part.depth; k += kTileDepth) {
      next = ahead_of(from, k + kTileDepth, part.depth - k - kTileDepth, part.lines);
      for (std::int64_t line = 0; line < part.lines; line += kPanelLines) tiles(line, k);
    }
  }
}

inline void load_left(const std::uint16_t* from) {
  COVEY_TILE_LOAD(4, from, kRowBytes);
  COVEY_TILE_LOAD(5, from + kTileElements, kRowBytes);
}
inline void load_right(const std::uint16_t* from) {
  COVEY_TILE_LOAD(6, from, kRowBytes);
  COVEY_TILE_LOAD(7, from + kTileElements, kRowBytes);
}
// Where a block of sums goes is seldom near, nor is the panel that comes next: their lines are asked for, a few at
// each depth, while the block is summed.
struct Coming {
  const char* sums;
  std::int64_t row_bytes, rows;  // of the sums, left
  std::int64_t rows_each;        // at each depth
  const char* next;
  std::int64_t lines, lines_each;
};
inline Coming coming_of(const TilePart& part, const TileOutput& out) {
  const std::int64_t depths = (part.depth + kTileDepth - 1) / kTileDepth;
  const std::int64_t rows = out.stream ? 0 : out.rows;
  return {static_cast<const char*>(out.data), out.stride * (out.bf16 ? 2 : 4), rows, (rows + depths - 1) / depths,
          reinterpret_cast<const char*>(part.next), part.next_lines, (part.next_lines + depths - 1) / depths};
}
inline void ask_some(Coming& c) {
  for (std::int64_t i = 0; i < c.rows_each && c.rows > 0; ++i, --c.rows, c.sums += c.row_bytes) {
    __builtin_prefetch(c.sums, 1);
    __builtin_prefetch(c.sums + 64, 1);
  }
  for (std::int64_t i = 0; i < c.lines_each && c.lines > 0; ++i, --c.lines, c.next += 64) _mm_prefetch(c.next, _MM_HINT_T1);
}

// Rows of a block of sums into what may be narrower, of another type, or have something added.
inline void finish_rows(const float* sums, const TileOutput& out, std::int64_t begin, std::int64_t end) {
  for (std::int64_t half = 0; half < 2; ++half) {
    const __mmask16 some = low16(out.columns - 16 * half);
    if (some == 0) return;
    const __m512 bias = out.bias == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(some, out.bias + 16 * half);
    for (std::int64_t r = begin; r < end; ++r) {
      __m512 value = _mm512_add_ps(_mm512_load_ps(sums + r * 32 + 16 * half), bias);
      const std::int64_t at = r * out.stride + 16 * half;
      if (out.bf16) {
        _mm256_mask_storeu_epi16(static_cast<std::uint16_t*>(out.data) + at, some,
                                 reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value)));
        continue;
      }
      float* to = static_cast<float*>(out.data) + at;
      if (out.accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(some, to));
      _mm512_mask_storeu_ps(to, some, value);
    }
  }
}

// The same of f32 without a bias, some of it past the caches, with the sum of the squares of what was written.
inline void finish_set_rows(TileTurns::Block& block, std::int64_t end) {
  const TileOutput& out = block.out;
  float* data = static_cast<float*>(out.data);
  const bool lines = out.stream && (reinterpret_cast<std::uintptr_t>(data) | static_cast<std::uintptr_t>(out.stride * 4)) % 64 == 0;
  for (std::int64_t half = 0; half < 2; ++half) {
    const __mmask16 some = low16(out.columns - 16 * half);
    __m512d low = _mm512_load_pd(block.squares + 16 * half), high = _mm512_load_pd(block.squares + 16 * half + 8);
    for (std::int64_t r = block.row; r < end; ++r) {
      float* to = data + r * out.stride + 16 * half;
      __m512 value = _mm512_maskz_loadu_ps(some, block.sums + r * 32 + 16 * half);
      if (out.accumulate) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(some, to));
      const __m512d first = _mm512_cvtps_pd(_mm512_castps512_ps256(value)), second = _mm512_cvtps_pd(_mm512_extractf32x8_ps(value, 1));
      low = _mm512_fmadd_pd(first, first, low);
      high = _mm512_fmadd_pd(second, second, high);
      if (lines && some == 0xFFFFU)
        _mm512_stream_ps(to, value);
      else
        _mm512_mask_storeu_ps(to, some, value);
    }
    _mm512_store_pd(block.squares + 16 * half, low);
    _mm512_store_pd(block.squares + 16 * half + 8, high);
  }
  if (end < block.rows || out.squares == nullptr) return;
  const __m512d left = _mm512_add_pd(_mm512_load_pd(block.squares), _mm512_load_pd(block.squares + 8));
  const __m512d right = _mm512_add_pd(_mm512_load_pd(block.squares + 16), _mm512_load_pd(block.squares + 24));
  *out.squares = _mm512_reduce_add_pd(_mm512_add_pd(left, right));
}

inline bool is_set(const TileOutput& out) { return out.stream || out.squares != nullptr; }

inline void finish_some(TileTurns::Block& block, std::int64_t rows) {
  if (block.row >= block.rows) return;
  const std::int64_t end = block.row + rows < block.rows ? block.row + rows : block.rows;
  is_set(block.out) ? finish_set_rows(block, end) : finish_rows(block.sums, block.out, block.row, end);
  block.row = end;
}

struct Before {
  TileTurns::Block* block;  // may be null
  std::int64_t rows_each;
};
inline Before before_of(TileTurns::Block& block, const TilePart& part) {
  const std::int64_t depths = (part.depth - 1) / kTileDepth;
  return {&block, depths > 0 ? (kPanelLines + depths - 1) / depths : kPanelLines};
}

// The block before is finished at each depth but the first, where its tiles have yet to arrive.
inline void sum_bf16(const std::uint16_t* left, const std::uint16_t* right, std::int64_t depth, Coming coming, Before before) {
  for (std::int64_t k = 0; k < depth; k += kTileDepth, left += kPanelTile, right += kPanelTile) {
    ask_some(coming);
    load_left(left);
    load_right(right);
    dot_tiles();
    if (before.block != nullptr && k > 0) finish_some(*before.block, before.rows_each);
  }
}

// The six products of planes, smallest first as far as changing one operand at a time allows.
inline void sum_f32(const std::uint16_t* left, const std::uint16_t* right, std::int64_t depth, Coming coming, Before before) {
  for (std::int64_t k = 0; k < depth; k += kTileDepth, left += 3 * kPanelTile, right += 3 * kPanelTile) {
    ask_some(coming);
    load_left(left);
    load_right(right + 2 * kPanelTile);
    dot_tiles();  // 0, 2
    load_right(right + kPanelTile);
    dot_tiles();  // 0, 1
    load_left(left + kPanelTile);
    dot_tiles();  // 1, 1
    load_right(right);
    dot_tiles();  // 1, 0
    load_left(left + 2 * kPanelTile);
    dot_tiles();  // 2, 0
    load_left(left);
    dot_tiles();  // 0, 0
    if (before.block != nullptr && k > 0) finish_some(*before.block, before.rows_each);
  }
}

inline void sum(const std::uint16_t* left, const std::uint16_t* right, const TilePart& part, Coming coming, Before before) {
  if (part.planes == 1)
    sum_bf16(left, right, part.depth, coming, before);
  else
    sum_f32(left, right, part.depth, coming, before);
}

// Whether the tiles go straight to where the sums belong; then what they are added to is loaded.
inline bool begin_sums(const TileOutput& out) {
  const bool direct = !is_set(out) && !out.bf16 && out.bias == nullptr && out.rows == 32 && out.columns == 32;
  if (direct && out.accumulate)
    load_sums(static_cast<const float*>(out.data), out.stride);
  else
    zero_sums();
  return direct;
}

}  // namespace

void pack_left_panels(TileSource from, TilePart part, std::uint16_t* to) {
  if (part.planes == 1)
    pack<1>(from, part, !from.along_k, to);
  else
    pack<3>(from, part, !from.along_k, to);
}

void pack_right_panels(TileSource from, TilePart part, std::uint16_t* to) {
  if (part.planes == 1)
    pack<1>(from, part, from.along_k, to);
  else
    pack<3>(from, part, from.along_k, to);
}

void tiles_begin() {
  struct alignas(64) Configuration {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  static const Configuration configuration;
  __asm__ volatile("ldtilecfg %0" ::"m"(configuration));
}

void tiles_end() { __asm__ volatile("tilerelease"); }

void multiply_panels(const std::uint16_t* left, const std::uint16_t* right, const TilePart& part, const TileOutput& out) {
  const bool direct = begin_sums(out);
  sum(left, right, part, coming_of(part, out), {nullptr, 0});
  if (direct) return store_sums(static_cast<float*>(out.data), out.stride);
  alignas(64) float sums[32 * 32];
  store_sums(sums, 32);
  finish_rows(sums, out, 0, out.rows);
}

void multiply_panels(const std::uint16_t* left, const std::uint16_t* right, const TilePart& part, TileTurns& turns) {
  TileTurns::Block &block = turns.blocks[turns.turn], &before = turns.blocks[1 - turns.turn];
  const TileOutput& out = block.out;
  const bool direct = begin_sums(out);
  sum(left, right, part, coming_of(part, out), before_of(before, part));
  finish_some(before, kPanelLines);
  turns.turn = 1 - turns.turn;
  block.row = block.rows = 0;
  if (direct) return store_sums(static_cast<float*>(out.data), out.stride);
  store_sums(block.sums, 32);
  block.rows = out.rows;
  for (int i = 0; i < 32; i += 8) _mm512_store_pd(block.squares + i, _mm512_setzero_pd());
}

void finish_turns(TileTurns& turns) {
  for (TileTurns::Block& block : turns.blocks) finish_some(block, kPanelLines);
  _mm_sfence();  // what went past the caches is there before other threads are told so
}

}  // namespace covey::cpu
