// Matrix products of f32 and bf16 operands on the threads of a team: by tiles where the processor has
// them (amx.h), else by oneDNN in f32. The same bits for any number of threads.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/tensor/arena.h"
#include "core/tensor/cpu/amx.h"
#include "core/tensor/cpu/gemm.h"
#include "core/tensor/cpu/kernels.h"
#include "core/tensor/team.h"

namespace covey::cpu {

// A matrix [rows, columns] as stored, row-major, or its transpose.
struct Operand {
  const void* data;
  std::int64_t stride;  // elements from row to row, as stored
  bool transposed;
  bool bf16;            // else f32
};

struct Product {
  std::int64_t m, n, k;
  Operand a, b;               // [m,k] and [k,n] after transposition
  void* c;                    // [m,n]
  std::int64_t c_stride;
  bool c_bf16 = false;        // else f32
  bool accumulate = false;    // c += a b; f32 only
  const float* bias = nullptr;  // [n], added to each row; not with accumulate
  // What pack() made of b for these n and k, then b is not read; null: packed here.
  const std::uint16_t* packed_b = nullptr;
};

// What products computed together share: the left operand, the right one, or the matrix that they add up to.
enum class Shared : std::uint8_t { kLeft, kRight, kSum };
constexpr std::size_t kTogether = 3;  // products at most

class ProductEngine {  // one per thread of use
 public:
  // `team` outlives this. `tiles`: whether tiles may be used where amx_usable().
  ProductEngine(Team& team, const Kernels& kernels, bool tiles);

  bool has_tiles() const { return tiles_; }
  void multiply(const Product& product);
  // The same for products alike in all that they share, and in types; what they share is packed once. kSum: c
  // becomes their sum, and bias and accumulate are the first's. False, and nothing is done, where sizes or the
  // processor do not allow it; no packed_b. squares: becomes the sum of those of what is in all c afterwards; f32 alone.
  bool multiply(std::span<const Product> products, Shared shared, double* squares = nullptr);

  // Elements (16 bits) that b[k,n] takes when packed, 0 where products do not use tiles. bf16: for an
  // a in bf16; else for an a in f32.
  std::int64_t packed_elements(std::int64_t n, std::int64_t k, bool bf16) const;
  // `to` is 64-byte aligned.
  void pack(const Operand& b, std::int64_t n, std::int64_t k, bool bf16, std::uint16_t* to);

 private:
  struct Block;
  struct Joined;
  void by_tiles(const Joined& product, std::int64_t planes);
  void sum_blocks(const Joined& product, std::int64_t planes, std::int64_t deep);
  void pack_right(const Joined& product, const Block& block, std::uint16_t* to);
  void tile_columns(const Joined& product, const Block& block);
  void few_rows(const Product& product, std::int64_t planes);
  void by_vectors(const Product& product);
  GemmMatrix round(const Operand& operand, std::int64_t rows, std::int64_t columns, float* room) const;
  GemmMatrix floats(const Operand& operand, std::int64_t rows, std::int64_t columns, float* room) const;
  std::uint16_t* room(int member, std::int64_t elements);
  float* wide(int member, std::int64_t floats);

  Team& team_;
  const Kernels& kernels_;
  bool tiles_;
  std::vector<Arena> rooms_;            // one of each member, and two that all share
  std::vector<std::uint16_t*> starts_;  // of those
  std::vector<std::int64_t> packed_rows_;  // the first row of what each member's holds
  std::vector<double> squares_;            // of each panel by panel of a product
};

}  // namespace covey::cpu
