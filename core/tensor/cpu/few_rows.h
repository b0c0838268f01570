// Linear layers of few rows, so that a weight serves once: what costs is to read it, so it is read in its order, a
// piece at a time that is multiplied while it is in the core's own cache, and kept nowhere. By tiles alone (amx.h); the same
// bits for any number of threads. Nothing is allocated once the largest shape was seen.
#pragma once
#include <cstdint>
#include <vector>

#include "core/tensor/arena.h"
#include "core/tensor/cpu/amx.h"
#include "core/tensor/cpu/kernels.h"
#include "core/tensor/op_shapes.h"
#include "core/tensor/team.h"

namespace covey::cpu {

class FewRows {  // one per thread of use
 public:
  // `team` outlives this. `tiles`: whether they may be used where amx_usable().
  FewRows(Team& team, const Kernels& kernels, bool tiles);

  // Whether it serves x[M,K], w[N,K], y[M,N], and their gradients; `activations` is the type of x and dy.
  bool serve(const LinearSize& size, DType activations) const;  // w in f32

  // y = x w^T + bias; bias [N] may be null. y may be f32 where x is not.
  void forward(const LinearSize& size, Tensor x, Tensor w, const float* bias, Tensor y);
  void grad_input(const LinearSize& size, Tensor dy, Tensor w, Tensor dx);
  enum class Into : std::uint8_t { kAdd, kSet };
  // Returns the sum of dw's squares where it was set, for then they still are in the core's own cache; else 0.
  double grad_weight(const LinearSize& size, Tensor dy, Tensor x, float* dw, Into into);

 private:
  std::uint16_t* room(std::size_t index, std::int64_t elements);
  void prepare(std::int64_t elements);
  void write_row(const float* sums, std::int64_t count, Tensor to, std::int64_t at);

  Team& team_;
  const Kernels& kernels_;
  bool tiles_;
  std::vector<Arena> rooms_;  // one of each member, and two that all share
  std::vector<std::uint16_t*> starts_;
  std::vector<double> squares_;  // of each piece
};

}  // namespace covey::cpu
