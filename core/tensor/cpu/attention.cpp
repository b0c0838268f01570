#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {
namespace {

struct HeadPlace {  // elements from the front of q and y, of k and v; floats from the front of lse
  std::int64_t q, kv, lse;
};
HeadPlace place_of(const AttentionSize& s, std::int64_t b, std::int64_t h) {
  const std::int64_t shared = h * s.kv_heads / s.heads;
  return {(b * s.length * s.heads + h) * s.head_size, (b * s.length * s.kv_heads + shared) * s.head_size,
          (b * s.heads + h) * s.length};
}

cpu::HeadSize size_of(const AttentionSize& s) {
  return {s.length, s.head_size, s.heads * s.head_size, s.kv_heads * s.head_size};
}

}  // namespace

// By tiles where they are, and the head is wide enough to fill them.
bool CpuOps::attends_by_tiles(Tensor q) const {
  return products_.has_tiles() && q.dtype != DType::kF16 && q.dim(1) >= 16 && q.dim(3) >= 16;
}

std::int64_t CpuOps::attention_floats(Tensor q, const cpu::HeadSize& size) const {
#ifdef COVEY_X86_KERNELS
  if (attends_by_tiles(q)) return cpu::tile_attention_scratch(size, q.dtype == DType::kBf16 ? 1 : 3);
#endif
  return kernels_.attention_scratch(size);
}

template <class T>
cpu::AttentionKernels<T> CpuOps::attention_kernels(Tensor q) const {
#ifdef COVEY_X86_KERNELS
  if constexpr (!std::is_same_v<T, F16>)
    if (attends_by_tiles(q)) return {cpu::tile_attention, cpu::tile_attention_grad};
#endif
  return {cpu::typed<T>(kernels_).attention, cpu::typed<T>(kernels_).attention_grad};
}

void CpuOps::attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse) {
  const AttentionSize s = check_attention(q, k, v, y, lse);
  const cpu::HeadSize size = size_of(s);
  prepare_member_scratch(attention_floats(q, size));
  team_.run(s.batch * s.heads, [&](std::int64_t piece, int member) {
    const HeadPlace at = place_of(s, piece / s.heads, piece % s.heads);
    cpu::with_type(q.dtype, [&]<class T>(T) {
      attention_kernels<T>(q).forward(size,
                                        {q.as<T>() + at.q, k.as<T>() + at.kv, v.as<T>() + at.kv, y.as<T>() + at.q,
                                         lse.f32() + at.lse},
                                        member_scratch(member));
    });
  });
}

// The heads that share k and v are done one after the other by the same member, which adds up dk and dv.
void CpuOps::attention_grad(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse, Tensor dy,
                            Tensor dq, Tensor dk, Tensor dv) {
  const AttentionSize s = check_attention(q, k, v, y, lse);
  check_attention(dq, dk, dv, dy, lse);
  COVEY_CHECK(q.shape == dq.shape && k.shape == dk.shape && q.dtype == dq.dtype);
  const cpu::HeadSize size = size_of(s);
  const std::int64_t group = s.heads / s.kv_heads;
  prepare_member_scratch(attention_floats(q, size));
  team_.run(s.batch * s.kv_heads, [&](std::int64_t piece, int member) {
    for (std::int64_t i = 0; i < group; ++i) {
      const HeadPlace at = place_of(s, piece / s.kv_heads, piece % s.kv_heads * group + i);
      cpu::with_type(q.dtype, [&]<class T>(T) {
        attention_kernels<T>(q).gradient(
            size,
            {q.as<T>() + at.q, k.as<T>() + at.kv, v.as<T>() + at.kv, y.as<T>() + at.q, lse.f32() + at.lse,
             dy.as<T>() + at.q, dq.as<T>() + at.q, dk.as<T>() + at.kv, dv.as<T>() + at.kv, i == 0, i + 1 == group},
            member_scratch(member));
      });
    }
  });
}

}  // namespace covey
