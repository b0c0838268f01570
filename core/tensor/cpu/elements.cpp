// Operations on activations, element by element, and the scratch memory that CpuOps keeps.
#include <algorithm>

#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {

using cpu::share;
using cpu::typed;
using cpu::with_type;

CpuOps::CpuOps(const cpu::Kernels& kernels, Tiles tiles)
    : kernels_(kernels),
      own_team_(std::make_unique<Team>(1)),
      team_(*own_team_),
      products_(team_, kernels, tiles == Tiles::kWhereUsable),
      few_rows_(team_, kernels, tiles == Tiles::kWhereUsable),
      conv_tiles_(team_, kernels, tiles == Tiles::kWhereUsable) {}

CpuOps::CpuOps(const cpu::Kernels& kernels, Tiles tiles, Team& team)
    : kernels_(kernels),
      team_(team),
      products_(team_, kernels, tiles == Tiles::kWhereUsable),
      few_rows_(team_, kernels, tiles == Tiles::kWhereUsable),
      conv_tiles_(team_, kernels, tiles == Tiles::kWhereUsable) {}

float* CpuOps::scratch(std::int64_t floats) {
  const std::size_t bytes = static_cast<std::size_t>(floats) * sizeof(float);
  if (scratch_.capacity() < bytes) {
    scratch_ = Arena(bytes);
    scratch_data_ = scratch_.take({floats}).f32();
  }
  return scratch_data_;
}

void CpuOps::prepare_member_scratch(std::int64_t floats) {
  const std::size_t bytes = static_cast<std::size_t>(floats) * sizeof(float);
  while (static_cast<int>(member_scratch_.size()) < team_.size()) {
    member_scratch_.emplace_back(0);
    member_data_.push_back(nullptr);
  }
  for (std::size_t i = 0; i < member_scratch_.size(); ++i) {
    if (member_scratch_[i].capacity() >= bytes) continue;
    member_scratch_[i] = Arena(bytes);
    member_data_[i] = member_scratch_[i].take({floats}).f32();
  }
}

void CpuOps::convert(Tensor x, Tensor y) {
  const std::int64_t n = check_reals(x);
  COVEY_CHECK(check_reals(y) == n);
  share(team_, n, cpu::kPieceElements, [&](std::int64_t at, std::int64_t count, int) {
    with_type(x.dtype, [&]<class From>(From) {
      with_type(y.dtype, [&]<class To>(To) {
        if constexpr (std::is_same_v<From, To>) {
          std::copy_n(x.as<From>() + at, count, y.as<To>() + at);
        } else if constexpr (std::is_same_v<From, float>) {
          typed<To>(kernels_).from_f32(x.as<float>() + at, y.as<To>() + at, count);
        } else if constexpr (std::is_same_v<To, float>) {
          typed<From>(kernels_).to_f32(x.as<From>() + at, y.as<float>() + at, count);
        } else {
          constexpr std::int64_t kSome = 256;  // from one half to the other, through f32
          float some[kSome];
          for (std::int64_t i = at; i < at + count; i += kSome) {
            const std::int64_t few = std::min(kSome, at + count - i);
            typed<From>(kernels_).to_f32(x.as<From>() + i, some, few);
            typed<To>(kernels_).from_f32(some, y.as<To>() + i, few);
          }
        }
      });
    });
  });
}

void CpuOps::swiglu(Tensor gate, Tensor up, Tensor y) {
  const std::int64_t n = check_same(gate, up, y);
  share(team_, n, cpu::kPieceElements, [&](std::int64_t at, std::int64_t count, int) {
    with_type(y.dtype, [&]<class T>(T) {
      typed<T>(kernels_).swiglu(gate.as<T>() + at, up.as<T>() + at, y.as<T>() + at, count);
    });
  });
}

void CpuOps::swiglu_grad(Tensor gate, Tensor up, Tensor dy, Tensor dgate, Tensor dup, Tensor y) {
  const std::int64_t n = check_same(gate, up, dy);
  check_same(dy, dgate, dup);
  if (!y.empty()) check_same(dy, y, y);
  share(team_, n, cpu::kPieceElements, [&](std::int64_t at, std::int64_t count, int) {
    with_type(dy.dtype, [&]<class T>(T) {
      typed<T>(kernels_).swiglu_grad(gate.as<T>() + at, up.as<T>() + at, dy.as<T>() + at, dgate.as<T>() + at,
                                     dup.as<T>() + at, y.empty() ? nullptr : y.as<T>() + at, count);
    });
  });
}

void CpuOps::gelu(Tensor x, Tensor y, Gelu kind) {
  const std::int64_t n = check_same(x, y, y);
  share(team_, n, cpu::kPieceElements, [&](std::int64_t at, std::int64_t count, int) {
    with_type(x.dtype, [&]<class T>(T) {
      const cpu::TypedKernels<T>& k = typed<T>(kernels_);
      (kind == Gelu::kTanh ? k.gelu_tanh : k.gelu_exact)(x.as<T>() + at, y.as<T>() + at, count);
    });
  });
}

void CpuOps::gelu_grad(Tensor x, Tensor dy, Tensor dx, Gelu kind, Tensor y) {
  const std::int64_t n = check_same(x, dy, dx);
  if (!y.empty()) check_same(x, y, y);
  share(team_, n, cpu::kPieceElements, [&](std::int64_t at, std::int64_t count, int) {
    with_type(x.dtype, [&]<class T>(T) {
      const cpu::TypedKernels<T>& k = typed<T>(kernels_);
      (kind == Gelu::kTanh ? k.gelu_tanh_grad : k.gelu_exact_grad)(x.as<T>() + at, dy.as<T>() + at, dx.as<T>() + at,
                                                                   y.empty() ? nullptr : y.as<T>() + at, count);
    });
  });
}

void CpuOps::dropout(Tensor x, Tensor y, Dropout coins) {
  const std::int64_t n = check_same(x, y, y);
  const DropoutKey key = dropout_key(coins);
  share(team_, n, cpu::kPieceElements, [&](std::int64_t at, std::int64_t count, int) {
    with_type(x.dtype, [&]<class T>(T) {
      typed<T>(kernels_).dropout(x.as<T>() + at, y.as<T>() + at,
                                 {static_cast<std::uint64_t>(at), key.first, key.second, key.threshold, key.factor},
                                 count);
    });
  });
}

void CpuOps::relu(Tensor x, Tensor y) {
  const std::int64_t n = check_same(x, y, y);
  share(team_, n, cpu::kPieceElements, [&](std::int64_t at, std::int64_t count, int) {
    with_type(x.dtype, [&]<class T>(T) { typed<T>(kernels_).relu(x.as<T>() + at, y.as<T>() + at, count); });
  });
}

void CpuOps::relu_grad(Tensor y, Tensor dy, Tensor dx) {
  const std::int64_t n = check_same(y, dy, dx);
  share(team_, n, cpu::kPieceElements, [&](std::int64_t at, std::int64_t count, int) {
    with_type(y.dtype, [&]<class T>(T) {
      typed<T>(kernels_).relu_grad(y.as<T>() + at, dy.as<T>() + at, dx.as<T>() + at, count);
    });
  });
}

void CpuOps::add(Tensor a, Tensor b, Tensor y) {
  const std::int64_t n = check_same(a, b, y);
  share(team_, n, cpu::kPieceElements, [&](std::int64_t at, std::int64_t count, int) {
    with_type(y.dtype, [&]<class T>(T) {
      typed<T>(kernels_).add(a.as<T>() + at, b.as<T>() + at, y.as<T>() + at, count);
    });
  });
}

std::unique_ptr<Ops> make_cpu_ops() { return std::make_unique<CpuOps>(*cpu::usable_kernels().sets[0]); }
std::unique_ptr<Ops> make_cpu_ops(Team& team) {
  return std::make_unique<CpuOps>(*cpu::usable_kernels().sets[0], Tiles::kWhereUsable, team);
}

}  // namespace covey
