#include "core/tensor/cpu/product.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "core/base/check.h"
#include "core/tensor/cpu/gemm.h"

namespace covey::cpu {
namespace {

// The right operand is packed first, for everyone: it is too large for a core's own cache, so each of its
// panels should serve many rows when it comes. A block of the left operand is packed by who multiplies
// it, as large as leaves room in the second-level cache for a panel of the right.
constexpr std::int64_t kBlockBytes = 800 * 1024;
constexpr std::int64_t kBlockRowsMax = 512;
constexpr std::int64_t kBlockColumns = 4096;  // of the right operand, packed at a time
constexpr std::int64_t kPieces = 4;           // at least as many, where columns allow it
constexpr std::int64_t kPieceColumns = 256;   // and no fewer in one
constexpr std::int64_t kFewRows = 64;         // that are multiplied as soon as columns are packed, and
constexpr std::int64_t kFewColumns = 64;      // so many of those at a time
constexpr std::int64_t kStreamed = 512 * 1024;  // elements of sums that are set, from which they go past the caches
constexpr std::int64_t kVectorRows = 256;     // rows of one piece where there are no tiles

std::int64_t ceil_of(std::int64_t n, std::int64_t by) { return (n + by - 1) / by; }

// k is cut into equal blocks.
std::int64_t depth_of(std::int64_t planes, std::int64_t k) {
  const std::int64_t blocks = ceil_of(k, planes == 1 ? 2048 : 512);
  return ceil_of(ceil_of(k, blocks), kTileDepth) * kTileDepth;
}

// Rows and columns of one piece of a block, by sizes alone.
struct Cut {
  std::int64_t rows, row_pieces, columns, column_pieces;
};
Cut cut_of(std::int64_t m, std::int64_t n, std::int64_t depth, std::int64_t planes) {
  const std::int64_t fitting = std::clamp<std::int64_t>(kBlockBytes / (2 * planes * depth), kPanelLines, kBlockRowsMax);
  const std::int64_t blocks = ceil_of(m, fitting / kPanelLines * kPanelLines);
  const std::int64_t rows = ceil_of(ceil_of(m, blocks), kPanelLines) * kPanelLines, row_pieces = ceil_of(m, rows);
  const std::int64_t wanted = std::min(ceil_of(kPieces, row_pieces), std::max<std::int64_t>(1, n / kPieceColumns));
  const std::int64_t columns = ceil_of(ceil_of(n, wanted), kPanelLines) * kPanelLines;
  return {rows, row_pieces, columns, ceil_of(n, columns)};
}

TileSource source_of(const Operand& operand, bool lines_are_rows, std::int64_t line, std::int64_t k) {
  const bool along_k = lines_are_rows != operand.transposed;
  const std::int64_t at = along_k ? line * operand.stride + k : k * operand.stride + line;
  return {static_cast<const char*>(operand.data) + at * (operand.bf16 ? 2 : 4), operand.stride, along_k, operand.bf16};
}

// Whether tiles save more than packing costs. In f32 a product of m n k saves about as many nanoseconds
// as packing k (m + n) elements costs when m n = 60 (m + n); bf16 has no other quick way.
bool worth_tiles(const Product& p) {
  if (p.m < 16 || p.n < 16 || p.k < 16) return false;
  return p.a.bf16 ? p.m * p.n * p.k >= 1 << 15 : p.m * p.n >= 60 * (p.m + p.n);
}

}  // namespace

// Products that are computed as one: each operand of it is made of pieces that lie side by side, and so is c.
// All but the last piece are whole panels, along k whole tiles.
struct ProductEngine::Joined {
  struct Piece {
    Operand from;
    std::int64_t line, lines, k, depth;  // of the operand
  };
  struct Target {
    void* c;
    std::int64_t stride;
    const float* bias;
    std::int64_t row, rows, column, columns;  // of c
  };
  std::int64_t m = 0, n = 0, k = 0;
  bool c_bf16 = false, accumulate = false;
  const std::uint16_t* packed_b = nullptr;
  std::array<Piece, kTogether> left{}, right{};
  std::array<Target, kTogether> targets{};
  std::size_t lefts = 0, rights = 0, outs = 0;
  double* squares = nullptr;  // of each panel of rows by each of columns; may be null

  explicit Joined(const Product& p) { add(p, 0, 0, 0); }
  Joined(std::span<const Product> products, Shared shared) {
    for (const Product& p : products)
      add(p, shared == Shared::kRight ? m : 0, shared == Shared::kLeft ? n : 0, shared == Shared::kSum ? k : 0);
  }
  const Target& target_of(std::int64_t row, std::int64_t column) const {
    std::size_t i = 0;
    while (row >= targets[i].row + targets[i].rows || column >= targets[i].column + targets[i].columns) ++i;
    return targets[i];
  }

 private:
  void add(const Product& p, std::int64_t row, std::int64_t column, std::int64_t depth) {
    if (lefts == 0) {
      c_bf16 = p.c_bf16;
      accumulate = p.accumulate;
      packed_b = p.packed_b;
    }
    m = row + p.m;
    n = column + p.n;
    k = depth + p.k;
    if (lefts == 0 || column == 0) left[lefts++] = {p.a, row, p.m, depth, p.k};
    if (rights == 0 || row == 0) right[rights++] = {p.b, column, p.n, depth, p.k};
    if (outs == 0 || depth == 0) targets[outs++] = {p.c, p.c_stride, p.bias, row, p.m, column, p.n};
  }
};

namespace {

// Packs what of [line, line + lines) x [k, k + depth) the pieces have, as panels of that depth.
template <class Pieces, class Pack>
void pack_pieces(const Pieces& pieces, std::size_t count, bool lines_are_rows, TilePart part, std::int64_t line,
                 std::int64_t k, std::uint16_t* to, Pack pack) {
  part.panel = panel_elements(part.depth, part.planes);
  for (std::size_t i = 0; i < count; ++i) {
    const auto& piece = pieces[i];
    const std::int64_t first = std::max(line, piece.line), from = std::max(k, piece.k);
    TilePart some = part;
    some.lines = std::min(line + part.lines, piece.line + piece.lines) - first;
    some.depth = std::min(k + part.depth, piece.k + piece.depth) - from;
    if (some.lines <= 0 || some.depth <= 0) continue;
    pack(source_of(piece.from, lines_are_rows, first - piece.line, from - piece.k), some,
         to + (first - line) / kPanelLines * part.panel + panel_elements(from - k, part.planes));
  }
}

}  // namespace

struct ProductEngine::Block {  // columns [column, column + columns), k in [k, k + depth)
  std::int64_t planes, column, columns, k, depth;
  const std::uint16_t* right;  // its panels
  bool first, last;            // of the blocks along k
};

ProductEngine::ProductEngine(Team& team, const Kernels& kernels, bool tiles)
    : team_(team), kernels_(kernels), tiles_(tiles && amx_usable()) {
  for (int i = 0; i < team.size() + 2; ++i) rooms_.emplace_back(0);
  starts_.assign(rooms_.size(), nullptr);
}

std::uint16_t* ProductEngine::room(int member, std::int64_t elements) {
  const auto i = static_cast<std::size_t>(member);
  const std::int64_t floats = ceil_of(elements, 2);
  if (rooms_[i].capacity() < static_cast<std::size_t>(floats) * sizeof(float)) {
    rooms_[i] = Arena(static_cast<std::size_t>(floats) * sizeof(float));
    starts_[i] = static_cast<std::uint16_t*>(rooms_[i].take({floats}).data);
  }
  return starts_[i];
}

std::int64_t ProductEngine::packed_elements(std::int64_t n, std::int64_t k, bool bf16) const {
  if (!tiles_) return 0;
  return ceil_of(n, kPanelLines) * panel_elements(k, bf16 ? 1 : 3);
}

void ProductEngine::multiply(const Product& product) {
  COVEY_CHECK(!(product.accumulate && (product.c_bf16 || product.bias != nullptr)));
  if (product.m == 0 || product.n == 0) return;
#ifdef COVEY_X86_KERNELS
  if (tiles_ && product.k > 0 && (product.packed_b != nullptr || worth_tiles(product))) {
    const std::int64_t planes = product.a.bf16 ? 1 : 3;
    const bool few = product.m <= kFewRows && product.packed_b == nullptr;
    return few ? few_rows(product, planes) : by_tiles(Joined(product), planes);
  }
#endif
  COVEY_CHECK(product.packed_b == nullptr);
  by_vectors(product);
}

bool ProductEngine::multiply(std::span<const Product> products, [[maybe_unused]] Shared shared, [[maybe_unused]] double* squares) {
  COVEY_CHECK(!products.empty() && products.size() <= kTogether);
#ifdef COVEY_X86_KERNELS
  if (!tiles_) return false;
  for (const Product& p : products) {
    COVEY_CHECK(p.packed_b == nullptr && p.c_bf16 == products[0].c_bf16 && p.a.bf16 == products[0].a.bf16);
    const std::int64_t size = shared == Shared::kRight ? p.m : shared == Shared::kLeft ? p.n : p.k;
    const bool whole = products.size() == 1 || size % kPanelLines == 0;
    if (p.k == 0 || p.m <= kFewRows || !whole || !worth_tiles(p)) return false;
  }
  Joined joined(products, shared);
  const auto blocks = static_cast<std::size_t>(ceil_of(joined.m, kPanelLines) * ceil_of(joined.n, kPanelLines));
  if (squares != nullptr) {
    COVEY_CHECK(!joined.c_bf16);
    if (squares_.size() < blocks) squares_.resize(blocks);
    joined.squares = squares_.data();
  }
  by_tiles(joined, products[0].a.bf16 ? 1 : 3);
  if (squares != nullptr) *squares = std::accumulate(squares_.begin(), squares_.begin() + static_cast<std::ptrdiff_t>(blocks), 0.0);
  return true;
#else
  return false;
#endif
}

#ifdef COVEY_X86_KERNELS
// Packed for all k: blocks of depth one after the other, in each the panels.
void ProductEngine::pack(const Operand& b, std::int64_t n, std::int64_t k, bool bf16, std::uint16_t* to) {
  COVEY_CHECK(tiles_);
  const std::int64_t planes = bf16 ? 1 : 3, deep = depth_of(planes, k);
  const Joined whole({.m = 0, .n = n, .k = k, .a = {}, .b = b, .c = nullptr, .c_stride = 0});
  for (std::int64_t k0 = 0; k0 < k; k0 += deep) {
    const Block block{planes, 0, n, k0, std::min(deep, k - k0), nullptr, false, false};
    pack_right(whole, block, to);
    to += ceil_of(n, kPanelLines) * panel_elements(block.depth, planes);
  }
}

void ProductEngine::pack_right(const Joined& p, const Block& block, std::uint16_t* to) {
  constexpr std::int64_t kColumns = 4 * kPanelLines;  // of one piece
  const std::int64_t size = panel_elements(block.depth, block.planes);
  team_.run(ceil_of(block.columns, kColumns), [&](std::int64_t piece, int) {
    const std::int64_t first = piece * kColumns;
    pack_pieces(p.right, p.rights, false, {std::min(kColumns, block.columns - first), block.depth, block.planes},
                block.column + first, block.k, to + first / kPanelLines * size, pack_right_panels);
  });
}

void ProductEngine::by_tiles(const Joined& product, std::int64_t planes) {
  const std::int64_t deep = depth_of(planes, product.k);
  if (!product.c_bf16 || product.k <= deep) return sum_blocks(product, planes, deep);
  // c cannot hold what the blocks along k add up.
  Joined p = product;
  float* sums = wide(team_.size() + 1, p.m * p.n);
  p.c_bf16 = false;
  for (std::size_t i = 0; i < p.outs; ++i) {
    p.targets[i].c = sums + p.targets[i].row * p.n + p.targets[i].column;
    p.targets[i].stride = p.n;
  }
  sum_blocks(p, planes, deep);
  team_.run(ceil_of(p.m, kPanelLines), [&](std::int64_t piece, int) {
    for (std::int64_t row = piece * kPanelLines; row < std::min(p.m, (piece + 1) * kPanelLines); ++row) {
      for (std::size_t i = 0; i < p.outs; ++i) {
        const Joined::Target& to = product.targets[i];
        if (row < to.row || row >= to.row + to.rows) continue;
        kernels_.bf16.from_f32(sums + row * p.n + to.column, static_cast<Bf16*>(to.c) + (row - to.row) * to.stride, to.columns);
      }
    }
  });
}

void ProductEngine::sum_blocks(const Joined& p, std::int64_t planes, std::int64_t deep) {
  const std::int64_t panels_all = ceil_of(p.n, kPanelLines);
  for (std::int64_t column = 0; column < p.n; column += kBlockColumns) {
    const std::int64_t columns = std::min(kBlockColumns, p.n - column);
    const std::uint16_t* packed = p.packed_b;
    for (std::int64_t k = 0; k < p.k; k += deep) {
      Block block{planes, column, columns, k, std::min(deep, p.k - k), nullptr, k == 0, p.k - k <= deep};
      const std::int64_t size = panel_elements(block.depth, planes);
      if (packed != nullptr) {
        block.right = packed + column / kPanelLines * size;
        packed += panels_all * size;
      } else {
        std::uint16_t* right = room(team_.size(), ceil_of(columns, kPanelLines) * size);
        pack_right(p, block, right);
        block.right = right;
      }
      tile_columns(p, block);
    }
  }
}

// With few rows each panel of the right operand serves once or twice, so it should not leave the core's own
// cache in between: who packs columns multiplies them. The sums are those of the blocks above, bit for bit.
void ProductEngine::few_rows(const Product& product, std::int64_t planes) {
  Product p = product;
  const std::int64_t deep = depth_of(planes, p.k);
  const bool apart = p.c_bf16 && p.k > deep;  // c cannot hold what the blocks along k add up
  if (apart) {
    p.c = wide(team_.size() + 1, p.m * p.n);
    p.c_bf16 = false;
    p.c_stride = p.n;
  }
  const std::int64_t row_panels = ceil_of(p.m, kPanelLines);
  const std::int64_t blocks = ceil_of(p.k, deep), size = panel_elements(deep, planes);
  std::uint16_t* left = room(team_.size(), blocks * row_panels * size);
  for (std::int64_t k = 0; k < p.k; k += deep)
    pack_left_panels(source_of(p.a, true, 0, k), {p.m, std::min(deep, p.k - k), planes}, left + k / deep * row_panels * size);
  for (int member = 0; member < team_.size(); ++member) room(member, kFewColumns / kPanelLines * size);
  team_.run(ceil_of(p.n, kFewColumns), [&](std::int64_t piece, int member) {
    const std::int64_t first = piece * kFewColumns, columns = std::min(kFewColumns, p.n - first);
    std::uint16_t* right = starts_[static_cast<std::size_t>(member)];
    TileTurns turns;
    for (std::int64_t k = 0; k < p.k; k += deep) {
      const TilePart part{kPanelLines, std::min(deep, p.k - k), planes};
      const std::int64_t panel = panel_elements(part.depth, planes);
      pack_right_panels(source_of(p.b, false, first, k), {columns, part.depth, planes}, right);
      tiles_begin();
      for (std::int64_t c = 0; c < columns; c += kPanelLines) {
        for (std::int64_t r = 0; r < p.m; r += kPanelLines) {
          TileOutput& out = turns.next();
          out.data = static_cast<char*>(p.c) + (r * p.c_stride + first + c) * (p.c_bf16 ? 2 : 4);
          out.stride = p.c_stride;
          out.bias = p.bias != nullptr && k == 0 ? p.bias + first + c : nullptr;
          out.rows = std::min(kPanelLines, p.m - r);
          out.columns = std::min(kPanelLines, columns - c);
          out.bf16 = p.c_bf16;
          out.accumulate = p.accumulate || k > 0;
          multiply_panels(left + k / deep * row_panels * size + r / kPanelLines * panel, right + c / kPanelLines * panel,
                          part, turns);
        }
      }
      finish_turns(turns);  // what the next blocks along k are added to
      tiles_end();
    }
  });
  for (std::int64_t i = 0; i < (apart ? p.m : 0); ++i)
    kernels_.bf16.from_f32(static_cast<const float*>(p.c) + i * p.n, static_cast<Bf16*>(product.c) + i * product.c_stride, p.n);
}

void ProductEngine::tile_columns(const Joined& p, const Block& block) {
  const std::int64_t panel_size = panel_elements(block.depth, block.planes);
  const Cut cut = cut_of(p.m, block.columns, block.depth, block.planes);
  for (int member = 0; member < team_.size(); ++member) room(member, cut.rows / kPanelLines * panel_size);
  packed_rows_.assign(static_cast<std::size_t>(team_.size()), -1);
  // One thread does a row's pieces one after the other; several each have a row, as far as there are as many.
  const bool down = team_.size() > 1;
  const std::int64_t panels = ceil_of(p.n, kPanelLines);
  team_.run(cut.row_pieces * cut.column_pieces, [&](std::int64_t piece, int member) {
    const std::int64_t row = down ? piece % cut.row_pieces : piece / cut.column_pieces;
    const std::int64_t row0 = row * cut.rows, rows = std::min(cut.rows, p.m - row0);
    const std::int64_t first = (down ? piece / cut.row_pieces : piece % cut.column_pieces) * cut.columns;
    const std::int64_t end = std::min(block.columns, first + cut.columns);
    std::uint16_t* left = starts_[static_cast<std::size_t>(member)];
    if (packed_rows_[static_cast<std::size_t>(member)] != row0) {  // else left by this member's last piece
      pack_pieces(p.left, p.lefts, true, {rows, block.depth, block.planes}, row0, block.k, left, pack_left_panels);
      packed_rows_[static_cast<std::size_t>(member)] = row0;
    }
    TilePart part{kPanelLines, block.depth, block.planes};
    // What is not read back soon need not come into the caches to be written.
    const bool stream = !p.c_bf16 && !p.accumulate && block.first && block.last && p.m * p.n >= kStreamed;
    const std::int64_t lines = panel_size / 32, share = ceil_of(lines, ceil_of(rows, kPanelLines));  // of 64 bytes
    TileTurns turns;
    tiles_begin();
    for (std::int64_t c = first; c < end; c += kPanelLines) {
      const std::int64_t column = block.column + c;
      const std::uint16_t* right = block.right + c / kPanelLines * panel_size;
      for (std::int64_t r = 0; r < rows; r += kPanelLines) {
        const std::int64_t asked = std::min(lines, r / kPanelLines * share);
        part.next = right + panel_size + asked * 32;
        part.next_lines = c + kPanelLines < end ? std::min(share, lines - asked) : 0;
        const Joined::Target& to = p.target_of(row0 + r, column);
        const std::int64_t line = row0 + r - to.row, at = line * to.stride + column - to.column;
        TileOutput& out = turns.next();
        out.data = static_cast<char*>(to.c) + at * (p.c_bf16 ? 2 : 4);
        out.stride = to.stride;
        out.bias = to.bias != nullptr && block.first ? to.bias + (column - to.column) : nullptr;
        out.rows = std::min(kPanelLines, to.rows - line);
        out.columns = std::min(kPanelLines, to.columns - (column - to.column));
        out.bf16 = p.c_bf16;
        out.accumulate = p.accumulate || !block.first;
        out.stream = stream;
        out.squares = p.squares == nullptr || !block.last ? nullptr : p.squares + (row0 + r) / kPanelLines * panels + column / kPanelLines;
        multiply_panels(left + r / kPanelLines * panel_size, right, part, turns);
      }
    }
    finish_turns(turns);
    tiles_end();
  });
}
#else
void ProductEngine::pack(const Operand&, std::int64_t, std::int64_t, bool, std::uint16_t*) { COVEY_CHECK(tiles_); }
#endif

// Rows [row, row + rows) of the stored matrix as f32, in `room` if they are not.
GemmMatrix ProductEngine::floats(const Operand& operand, std::int64_t rows, std::int64_t columns, float* room) const {
  if (!operand.bf16) return {static_cast<const float*>(operand.data), operand.stride, operand.transposed};
  for (std::int64_t i = 0; i < rows; ++i)
    kernels_.bf16.to_f32(static_cast<const Bf16*>(operand.data) + i * operand.stride, room + i * columns, columns);
  return {room, columns, operand.transposed};
}

GemmMatrix ProductEngine::round(const Operand& operand, std::int64_t rows, std::int64_t columns, float* room) const {
  constexpr std::int64_t kSome = 512;
  Bf16 some[kSome];
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; j += kSome) {
      const std::int64_t few = std::min(kSome, columns - j);
      kernels_.bf16.from_f32(static_cast<const float*>(operand.data) + i * operand.stride + j, some, few);
      kernels_.bf16.to_f32(some, room + i * columns + j, few);
    }
  }
  return {room, columns, operand.transposed};
}

// Pieces of rows, whatever the team. bf16 is computed in f32.
void ProductEngine::by_vectors(const Product& p) {
  const std::int64_t b_rows = p.b.transposed ? p.n : p.k, b_columns = p.b.transposed ? p.k : p.n;
  const bool rounded = p.a.bf16 && !p.b.bf16;  // the weight of activations in bf16
  float* b_room = p.a.bf16 || p.b.bf16 ? wide(team_.size(), b_rows * b_columns) : nullptr;
  const GemmMatrix b = rounded ? round(p.b, b_rows, b_columns, b_room) : floats(p.b, b_rows, b_columns, b_room);
  const std::int64_t rows_max = std::min(kVectorRows, p.m);
  const std::int64_t a_floats = p.a.bf16 ? rows_max * p.k : 0, c_floats = p.c_bf16 ? rows_max * p.n : 0;
  for (int member = 0; member < team_.size(); ++member) wide(member, a_floats + c_floats);
  team_.run(ceil_of(p.m, kVectorRows), [&](std::int64_t piece, int member) {
    const std::int64_t row0 = piece * kVectorRows, rows = std::min(kVectorRows, p.m - row0);
    float* room = reinterpret_cast<float*>(starts_[static_cast<std::size_t>(member)]);
    Operand mine = p.a;
    mine.data = static_cast<const char*>(p.a.data) + row0 * (p.a.transposed ? 1 : p.a.stride) * (p.a.bf16 ? 2 : 4);
    const GemmMatrix a = floats(mine, p.a.transposed ? p.k : rows, p.a.transposed ? rows : p.k, room);
    float* c = p.c_bf16 ? room + a_floats : static_cast<float*>(p.c) + row0 * p.c_stride;
    const std::int64_t stride = p.c_bf16 ? p.n : p.c_stride;
    if (p.bias != nullptr)
      for (std::int64_t i = 0; i < rows; ++i) std::copy_n(p.bias, p.n, c + i * stride);
    gemm({rows, p.n, p.k}, a, b, p.bias != nullptr || p.accumulate ? 1.0F : 0.0F, {c, stride});
    for (std::int64_t i = 0; i < (p.c_bf16 ? rows : 0); ++i)
      kernels_.bf16.from_f32(c + i * stride, static_cast<Bf16*>(p.c) + (row0 + i) * p.c_stride, p.n);
  });
}

float* ProductEngine::wide(int member, std::int64_t floats) {
  return reinterpret_cast<float*>(room(member, 2 * floats));
}

}  // namespace covey::cpu
