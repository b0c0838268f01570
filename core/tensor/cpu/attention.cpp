#include "core/tensor/cpu/cpu_ops.h"
#include "core/tensor/op_shapes.h"

namespace covey {
namespace {

// Where one (batch, head) starts in a [B,T,H,Dh] tensor.
std::int64_t head_offset(const AttentionSize& s, std::int64_t b, std::int64_t h) {
  return (b * s.length * s.heads + h) * s.head_size;
}

}  // namespace

void CpuOps::attention(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse) {
  const AttentionSize s = check_attention(q, k, v, y, lse);
  const cpu::HeadSize size{s.length, s.head_size, s.heads * s.head_size};
  float* room = scratch(kernels_.attention_scratch(size));
  for (std::int64_t b = 0; b < s.batch; ++b) {
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const std::int64_t at = head_offset(s, b, h);
      kernels_.attention(size, q.f32() + at, k.f32() + at, v.f32() + at, y.f32() + at,
                         lse.f32() + (b * s.heads + h) * s.length, room);
    }
  }
}

void CpuOps::attention_grad(Tensor q, Tensor k, Tensor v, Tensor y, Tensor lse, Tensor dy,
                            Tensor dq, Tensor dk, Tensor dv) {
  const AttentionSize s = check_attention(q, k, v, y, lse);
  check_attention(dq, dk, dv, dy, lse);
  COVEY_CHECK(q.shape == dq.shape);
  const cpu::HeadSize size{s.length, s.head_size, s.heads * s.head_size};
  float* room = scratch(kernels_.attention_scratch(size));
  for (std::int64_t b = 0; b < s.batch; ++b) {
    for (std::int64_t h = 0; h < s.heads; ++h) {
      const std::int64_t at = head_offset(s, b, h);
      kernels_.attention_grad(size,
                              {q.f32() + at, k.f32() + at, v.f32() + at, y.f32() + at,
                               lse.f32() + (b * s.heads + h) * s.length, dy.f32() + at,
                               dq.f32() + at, dk.f32() + at, dv.f32() + at},
                              room);
    }
  }
}

}  // namespace covey
