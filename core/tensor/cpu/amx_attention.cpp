// Causal attention of one head by tiles; see kernels.h for why nothing of the standard library may be
// included here.
//
// A block is 32 queries. Its scores are f32; probabilities and their gradients are operands of the
// products that follow, so they become bf16, or for f32 three planes of it (amx.h). Key panels after a
// block's own are never touched.
#include <immintrin.h>

#include "core/tensor/cpu/amx.h"

namespace covey::cpu {
namespace {
#include "core/tensor/cpu/simd.inc"

constexpr std::int64_t kBlock = kPanelLines;
constexpr std::int64_t kSuper = 256;  // queries whose probabilities are held in the backward pass
constexpr std::int64_t kTile = 16 * kTileDepth;
constexpr float kMasked = -1e30F;

template <class T>
constexpr std::int64_t kPlanes = sizeof(T) == 4 ? 3 : 1;

struct Sizes {
  std::int64_t keys, width;  // length and head size in whole panels
  std::int64_t key_panels, width_panels;
};
Sizes sizes_of(HeadSize n) {
  const std::int64_t keys = rounded_up(n.length, kBlock), width = rounded_up(n.head_size, kBlock);
  return {keys, width, keys / kBlock, width / kBlock};
}

struct Room {
  std::uint16_t *k_keys, *v_keys;        // right, [key panel][width]: lines are keys
  std::uint16_t *k_width, *v_width;      // right, [width panel][keys]: lines are columns of the head
  std::uint16_t *q_turned, *dy_turned;   // left, [width panel][queries of a super block]
  std::uint16_t *q, *dy;                 // left, one block
  std::uint16_t *left;                   // left, one block: probabilities, or gradients of scores
  std::uint16_t *p_right, *ds_right;     // right, [key panel][queries of a super block]
  float *scores, *dscores;               // [block][keys]
  float *out;                            // [block][block]
  float *dk_turned, *dv_turned;          // [width][keys], sums
  std::int64_t floats;                   // all of it
};

Room plan(HeadSize n, std::int64_t planes, float* base) {
  const Sizes s = sizes_of(n);
  std::int64_t used = 0;
  const auto floats = [&](std::int64_t count) {
    float* at = base == nullptr ? nullptr : base + used;
    used += rounded_up(count, 16);
    return at;
  };
  const auto halves = [&](std::int64_t count) { return reinterpret_cast<std::uint16_t*>(floats(planes * count / 2)); };
  Room room{};
  room.k_keys = halves(s.keys * s.width);
  room.v_keys = halves(s.keys * s.width);
  room.k_width = halves(s.keys * s.width);
  room.v_width = halves(s.keys * s.width);
  room.q_turned = halves(kSuper * s.width);
  room.dy_turned = halves(kSuper * s.width);
  room.q = halves(kBlock * s.width);
  room.dy = halves(kBlock * s.width);
  room.left = halves(kBlock * s.keys);
  room.p_right = halves(kSuper * s.keys);
  room.ds_right = halves(kSuper * s.keys);
  room.scores = floats(kBlock * s.keys);
  room.dscores = floats(kBlock * s.keys);
  room.out = floats(kBlock * kBlock);
  room.dk_turned = floats(s.width * s.keys);
  room.dv_turned = floats(s.width * s.keys);
  room.floats = used;
  return room;
}

std::int64_t at_most(std::int64_t n, std::int64_t limit) { return n < limit ? n : limit; }

template <class T>
TileSource rows_of(const T* data, std::int64_t stride, bool along_k) {
  return {data, stride, along_k, sizeof(T) == 2};
}

// Lines are positions.
template <class T>
void pack_positions(HeadSize n, const T* from, std::int64_t stride, std::uint16_t* to) {
  const std::int64_t panel = panel_elements(n.head_size, kPlanes<T>);
  for (std::int64_t t = 0; t < n.length; t += kBlock, to += panel)
    pack_right_panels(rows_of(from + t * stride, stride, true),
                     {at_most(n.length - t, kBlock), n.head_size, kPlanes<T>}, to);
}
// Lines are columns of the head.
template <class T>
void pack_columns(HeadSize n, const T* from, std::int64_t stride, std::uint16_t* to) {
  const std::int64_t panel = panel_elements(n.length, kPlanes<T>);
  for (std::int64_t d = 0; d < n.head_size; d += kBlock, to += panel)
    pack_right_panels(rows_of(from + d, stride, false), {at_most(n.head_size - d, kBlock), n.length, kPlanes<T>}, to);
}

// scores[block, keys up to the block's own] = left right^T
template <class T>
void score(HeadSize n, const std::uint16_t* left, const std::uint16_t* right, std::int64_t t0, float* scores) {
  const std::int64_t keys = sizes_of(n).keys, panel = panel_elements(n.head_size, kPlanes<T>);
  const TilePart part{kBlock, n.head_size, kPlanes<T>};
  for (std::int64_t j = 0; j <= t0; j += kBlock)
    multiply_panels(left, right + j / kBlock * panel, part, {scores + j, keys, nullptr, kBlock, kBlock, false, false});
}

// Thirty-two elements as planes: the first is what bf16 holds of them, the next what it holds of the rest.
template <std::int64_t kCount>
inline void split(Vector low, Vector high, __m512i (&planes)[kCount]) {
  for (std::int64_t i = 0; i < kCount; ++i) {
    planes[i] = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
    if (i + 1 == kCount) return;
    const __m256i first = _mm512_castsi512_si256(planes[i]), second = _mm512_extracti64x4_epi64(planes[i], 1);
    low -= _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(first), 16));
    high -= _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(second), 16));
  }
}

// A row of scores becomes probabilities times their sum, in the left panel. Returns that sum.
template <class T>
float softmax_row(float* row, std::int64_t keys, float scale, float* shift, std::uint16_t* left) {
  Vector bests = load(row);
  for (std::int64_t j = kLanes; j < keys; j += kLanes) bests = load(row + j) > bests ? load(row + j) : bests;
  const float best = largest_of(bests) * scale;
  Vector sums{};
  for (std::int64_t j = 0; j < keys; j += 2 * kLanes, left += kPlanes<T> * 2 * kTile) {
    const Vector a = exp_of(load(row + j) * scale - best), b = exp_of(load(row + j + kLanes) * scale - best);
    sums += a + b;
    __m512i planes[kPlanes<T>];
    split(a, b, planes);
    for (std::int64_t i = 0; i < kPlanes<T>; ++i) _mm512_store_si512(left + i * 2 * kTile, planes[i]);
  }
  *shift = best;
  return sum_of(sums);
}

void mask_row(float* row, std::int64_t visible, std::int64_t keys) {
  for (std::int64_t j = visible; j < keys; ++j) row[j] = kMasked;
}

// rows of a block of sums, times a factor each.
template <class T>
void write_rows(const float* sums, const float* factors, std::int64_t rows, std::int64_t columns, std::int64_t stride,
                T* to) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float factor = factors[r];
    const float* from = sums + r * kBlock;
    T* row = to + r * stride;
    each(columns, COVEY_BODY { put(row + i, get<COVEY_LANE>(from + i) * factor); });
  }
}

// to[t, d] = from[d, t], from's rows `keys` apart.
template <class T>
void write_turned(HeadSize n, const float* from, std::int64_t keys, T* to) {
  for (std::int64_t t = 0; t < n.length; ++t)
    for (std::int64_t d = 0; d < n.head_size; ++d) set(to + t * n.kv_stride + d, from[d * keys + t]);
}

struct RowTerms {
  float shift, delta;  // log-sum-exp, and dy . y
  std::int64_t visible;  // keys that the query sees, 0 for a row that is none
};

// Two rows of scores and of their gradients become probabilities and gradients: the latter as a left
// panel, both as right panels with the two queries side by side.
template <class T>
void gradient_rows(const float* scores, const float* dscores, std::int64_t keys, std::int64_t row_keys, float scale,
                   const RowTerms (&terms)[2], std::uint16_t* left, std::uint16_t* p_right, std::uint16_t* ds_right,
                   std::int64_t right_panel) {
  alignas(64) static const std::uint16_t kLow[32] = {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
                                                     8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47};
  const __m512i low = _mm512_load_si512(kLow), high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  for (std::int64_t j = 0; j < keys; j += 2 * kLanes) {
    __m512i p[2][kPlanes<T>], ds[2][kPlanes<T>];
    for (int r = 0; r < 2; ++r) {
      const float *s = scores + r * row_keys + j, *d = dscores + r * row_keys + j;
      const Vector a = exp_of(load(s) * scale - terms[r].shift), b = exp_of(load(s + kLanes) * scale - terms[r].shift);
      split(a, b, p[r]);
      split(a * (load(d) - terms[r].delta) * scale, b * (load(d + kLanes) - terms[r].delta) * scale, ds[r]);
    }
    for (std::int64_t i = 0; i < kPlanes<T>; ++i) {
      const std::int64_t plane = i * 2 * kTile;
      _mm512_store_si512(left + plane, ds[0][i]);
      _mm512_store_si512(left + plane + kTileDepth, ds[1][i]);
      _mm512_store_si512(p_right + plane, _mm512_permutex2var_epi16(p[0][i], low, p[1][i]));
      _mm512_store_si512(p_right + plane + kTile, _mm512_permutex2var_epi16(p[0][i], high, p[1][i]));
      _mm512_store_si512(ds_right + plane, _mm512_permutex2var_epi16(ds[0][i], low, ds[1][i]));
      _mm512_store_si512(ds_right + plane + kTile, _mm512_permutex2var_epi16(ds[0][i], high, ds[1][i]));
    }
    left += kPlanes<T> * 2 * kTile;
    p_right += right_panel;
    ds_right += right_panel;
  }
}

template <class T>
RowTerms terms_of(HeadSize n, const HeadGradient<T>& g, std::int64_t t) {
  if (t >= n.length) return {0, 0, 0};
  const T *dy = g.dy + t * n.stride, *y = g.y + t * n.stride;
  const float delta = sum_each(n.head_size, COVEY_BODY { return get<COVEY_LANE>(dy + i) * get<COVEY_LANE>(y + i); });
  return {g.lse[t], delta, t + 1};
}

// The gradients of queries [t0, t0 + 32), the first of super block `start`.
template <class T>
void gradient_block(HeadSize n, const HeadGradient<T>& g, const Room& room, std::int64_t t0, std::int64_t start) {
  const Sizes s = sizes_of(n);
  const std::int64_t rows = at_most(n.length - t0, kBlock), keys = t0 + kBlock;
  const TilePart queries{rows, n.head_size, kPlanes<T>};
  pack_left_panels(rows_of(g.q + t0 * n.stride, n.stride, true), queries, room.q);
  pack_left_panels(rows_of(g.dy + t0 * n.stride, n.stride, true), queries, room.dy);
  score<T>(n, room.q, room.k_keys, t0, room.scores);
  score<T>(n, room.dy, room.v_keys, t0, room.dscores);
  const float scale = 1.0F / __builtin_sqrtf(static_cast<float>(n.head_size));
  const std::int64_t tile = (t0 - start) / kBlock * kPlanes<T> * 2 * kTile;
  const std::int64_t right_panel = kPlanes<T> * kSuper * kBlock;
  for (std::int64_t r = 0; r < kBlock; r += 2) {
    const RowTerms terms[2] = {terms_of(n, g, t0 + r), terms_of(n, g, t0 + r + 1)};
    for (int i = 0; i < 2; ++i) mask_row(room.scores + (r + i) * s.keys, terms[i].visible, keys);
    const std::int64_t place = tile + r / 2 * kTileDepth;
    gradient_rows<T>(room.scores + r * s.keys, room.dscores + r * s.keys, keys, s.keys, scale, terms,
                  room.left + r / 16 * kTile + r % 16 * kTileDepth, room.p_right + place, room.ds_right + place,
                  right_panel);
  }
  const std::int64_t panel = panel_elements(n.length, kPlanes<T>);
  constexpr float kOnes[kBlock] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                   1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  for (std::int64_t d = 0; d < s.width; d += kBlock) {
    multiply_panels(room.left, room.k_width + d / kBlock * panel, {kBlock, keys, kPlanes<T>},
                    {room.out, kBlock, nullptr, kBlock, kBlock, false, false});
    write_rows(room.out, kOnes, rows, at_most(n.head_size - d, kBlock), n.stride, g.dq + t0 * n.stride + d);
  }
}

// Adds to dk and dv, turned, what the queries of a super block give each key.
template <class T>
void gradient_keys(HeadSize n, const HeadGradient<T>& g, const Room& room, std::int64_t start, std::int64_t end) {
  const Sizes s = sizes_of(n);
  const std::int64_t depth = end - start, turned = panel_elements(depth, kPlanes<T>);
  const std::int64_t right_panel = kPlanes<T> * kSuper * kBlock;
  for (std::int64_t d = 0; d < s.width; d += kBlock) {
    const TilePart part{at_most(n.head_size - d, kBlock), at_most(n.length - start, depth), kPlanes<T>};
    pack_left_panels(rows_of(g.q + start * n.stride + d, n.stride, false), part, room.q_turned + d / kBlock * turned);
    pack_left_panels(rows_of(g.dy + start * n.stride + d, n.stride, false), part, room.dy_turned + d / kBlock * turned);
  }
  for (std::int64_t j = 0; j < end; j += kBlock) {
    // Queries before j do not see these keys.
    const std::int64_t first = j > start ? j - start : 0, tile = first / kBlock * kPlanes<T> * 2 * kTile;
    const TilePart part{kBlock, depth - first, kPlanes<T>};
    for (std::int64_t d = 0; d < s.width; d += kBlock) {
      const std::int64_t left = d / kBlock * turned + tile, right = j / kBlock * right_panel + tile;
      multiply_panels(room.q_turned + left, room.ds_right + right, part,
                      {room.dk_turned + d * s.keys + j, s.keys, nullptr, kBlock, kBlock, false, true});
      multiply_panels(room.dy_turned + left, room.p_right + right, part,
                      {room.dv_turned + d * s.keys + j, s.keys, nullptr, kBlock, kBlock, false, true});
    }
  }
}

template <class T>
void attend(HeadSize n, const HeadForward<T>& h, float* scratch) {
  const Sizes s = sizes_of(n);
  const Room room = plan(n, kPlanes<T>, scratch);
  const float scale = 1.0F / __builtin_sqrtf(static_cast<float>(n.head_size));
  pack_positions(n, h.k, n.kv_stride, room.k_keys);
  pack_columns(n, h.v, n.kv_stride, room.v_width);
  tiles_begin();
  for (std::int64_t t0 = 0; t0 < n.length; t0 += kBlock) {
    const std::int64_t rows = at_most(n.length - t0, kBlock), keys = t0 + kBlock;
    pack_left_panels(rows_of(h.q + t0 * n.stride, n.stride, true), {rows, n.head_size, kPlanes<T>}, room.q);
    score<T>(n, room.q, room.k_keys, t0, room.scores);
    float inverse[kBlock];
    for (std::int64_t r = 0; r < kBlock; ++r) {
      float *row = room.scores + r * s.keys, shift = 0;
      mask_row(row, t0 + r + 1, keys);
      const float sum = softmax_row<T>(row, keys, scale, &shift, room.left + r / 16 * kTile + r % 16 * kTileDepth);
      inverse[r] = 1.0F / sum;
      if (r < rows) h.lse[t0 + r] = shift + __builtin_logf(sum);
    }
    for (std::int64_t d = 0; d < s.width; d += kBlock) {
      multiply_panels(room.left, room.v_width + d / kBlock * panel_elements(n.length, kPlanes<T>), {kBlock, keys, kPlanes<T>},
                      {room.out, kBlock, nullptr, kBlock, kBlock, false, false});
      write_rows(room.out, inverse, rows, at_most(n.head_size - d, kBlock), n.stride, h.y + t0 * n.stride + d);
    }
  }
  tiles_end();
}

template <class T>
void attend_grad(HeadSize n, const HeadGradient<T>& g, float* scratch) {
  const Sizes s = sizes_of(n);
  const Room room = plan(n, kPlanes<T>, scratch);
  if (g.first) {
    pack_positions(n, g.k, n.kv_stride, room.k_keys);
    pack_positions(n, g.v, n.kv_stride, room.v_keys);
    pack_columns(n, g.k, n.kv_stride, room.k_width);
    for (std::int64_t i = 0; i < s.width * s.keys; ++i) room.dk_turned[i] = room.dv_turned[i] = 0.0F;
  }
  tiles_begin();
  for (std::int64_t start = 0; start < n.length; start += kSuper) {
    const std::int64_t end = at_most(s.keys, start + kSuper);
    for (std::int64_t t0 = start; t0 < end; t0 += kBlock) gradient_block(n, g, room, t0, start);
    gradient_keys(n, g, room, start, end);
  }
  tiles_end();
  if (!g.last) return;
  write_turned(n, room.dk_turned, s.keys, g.dk);
  write_turned(n, room.dv_turned, s.keys, g.dv);
}

}  // namespace

std::int64_t tile_attention_scratch(HeadSize size, std::int64_t planes) { return plan(size, planes, nullptr).floats; }

void tile_attention(HeadSize size, const HeadForward<float>& tensors, float* scratch) { attend(size, tensors, scratch); }
void tile_attention(HeadSize size, const HeadForward<Bf16>& tensors, float* scratch) { attend(size, tensors, scratch); }
void tile_attention_grad(HeadSize size, const HeadGradient<float>& tensors, float* scratch) {
  attend_grad(size, tensors, scratch);
}
void tile_attention_grad(HeadSize size, const HeadGradient<Bf16>& tensors, float* scratch) {
  attend_grad(size, tensors, scratch);
}

}  // namespace covey::cpu
