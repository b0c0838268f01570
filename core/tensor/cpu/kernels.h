// Inner loops of CpuOps, compiled once per instruction set and chosen when the program runs.
//
// The .cpp files that carry special compiler flags include nothing but this header and the .inc
// files: an inline function of the standard library compiled there could be the copy that the
// linker keeps, and would then crash on an older processor.
#pragma once
#include <cstdint>

#include "core/tensor/storage_types.h"

namespace covey::cpu {

struct AdamWCoefficients {
  float keep;              // 1 - learning rate * decay
  float beta1, beta2;
  float step_size;         // learning rate / first correction
  float root_correction;   // 1 / sqrt(second correction)
  float epsilon;
  float scale;             // of the gradient
};
struct AdamWState {
  float* p;
  const float* g;
  float *m, *v;
  Bf16* shadow;  // may be null
};
struct SgdCoefficients {
  float rate, decay, momentum, scale;
  bool first, nesterov;  // first: the velocity starts as the gradient
};
struct LionCoefficients {
  float keep, rate, beta1, beta2, scale;
};
struct DropoutCoins {
  std::uint64_t first;        // index of the first element
  std::uint32_t key0, key1;
  std::uint32_t threshold;    // coins below it drop
  float factor;               // of what stays
};

struct SoftmaxTerms {
  float shift, factor, everywhere;
};

struct HeadSize {
  std::int64_t length, head_size;
  std::int64_t stride, kv_stride;  // elements between positions, of q, y and of k, v
};
template <class T>
struct HeadForward {
  const T *q, *k, *v;
  T* y;
  float* lse;
};
template <class T>
struct HeadGradient {
  const T *q, *k, *v, *y;
  const float* lse;
  const T* dy;
  T *dq, *dk, *dv;
  bool first, last;  // of the heads that share k and v: dk and dv are their sums, written by the last
};

template <class T>
struct NormRows {
  const T *x, *branch;  // branch may be null
  T* sum;               // x + branch, where there is one
  const float *gain, *bias;
  T* y;
  float *mean, *rstd;  // bias and mean: layer norm only
  float epsilon;
};
template <class T>
struct NormGradRows {
  const T* x;
  const float *gain, *mean, *rstd;
  const T* dy;
  T* dx;                  // +=
  float *dgain, *dbias;   // +=
};

// Pointers may be equal to each other where Ops allows aliasing, but never overlap otherwise.
template <class T>  // float, Bf16, F16
struct TypedKernels {
  void (*to_f32)(const T* x, float* y, std::int64_t n);
  void (*from_f32)(const float* x, T* y, std::int64_t n);
  void (*add)(const T* a, const T* b, T* y, std::int64_t n);
  void (*accumulate)(const T* x, float* y, std::int64_t n);              // y += x
  void (*embed)(const float* a, const float* b, T* y, std::int64_t n);   // y = a + b, b may be null
  void (*relu)(const T* x, T* y, std::int64_t n);
  void (*relu_grad)(const T* y, const T* dy, T* dx, std::int64_t n);
  void (*swiglu)(const T* gate, const T* up, T* y, std::int64_t n);
  void (*swiglu_grad)(const T* gate, const T* up, const T* dy, T* dgate, T* dup, T* y, std::int64_t n);  // y may be null
  void (*gelu_tanh)(const T* x, T* y, std::int64_t n);
  void (*gelu_exact)(const T* x, T* y, std::int64_t n);
  void (*gelu_tanh_grad)(const T* x, const T* dy, T* dx, T* y, std::int64_t n);
  void (*gelu_exact_grad)(const T* x, const T* dy, T* dx, T* y, std::int64_t n);
  void (*dropout)(const T* x, T* y, const DropoutCoins& coins, std::int64_t n);

  float (*largest)(const T* x, std::int64_t n);
  double (*sum)(const T* x, std::int64_t n);
  double (*exp_sum)(const T* x, float shift, std::int64_t n);  // of exp(x - shift)
  // y = exp(x - shift) * factor - everywhere
  void (*softmax_grad)(const T* x, const SoftmaxTerms& terms, T* y, std::int64_t n);
  void (*softmax_grad_from_f32)(const float* x, const SoftmaxTerms& terms, T* y, std::int64_t n);

  void (*column_sums)(const T* x, std::int64_t m, std::int64_t n, float* sums);  // +=
  void (*rmsnorm)(const NormRows<T>& rows, std::int64_t m, std::int64_t d);
  void (*rmsnorm_grad)(const NormGradRows<T>& rows, std::int64_t m, std::int64_t d);
  void (*layernorm)(const NormRows<T>& rows, std::int64_t m, std::int64_t d);
  void (*layernorm_grad)(const NormGradRows<T>& rows, std::int64_t m, std::int64_t d);
  // One position: x[heads, 2*half], cosines and sines [half].
  void (*rope)(T* x, const float* cosines, const float* sines, float direction, std::int64_t heads,
               std::int64_t half);

  void (*maxpool2)(const T* x, T* y, std::int32_t* argmax, std::int64_t height, std::int64_t width);
  void (*maxpool2_grad)(const T* dy, const std::int32_t* argmax, T* dx, std::int64_t height, std::int64_t width);

  // One (batch, head) of causal attention; scratch of attention_scratch() floats, 64-byte aligned.
  void (*attention)(HeadSize size, const HeadForward<T>& tensors, float* scratch);
  void (*attention_grad)(HeadSize size, const HeadGradient<T>& tensors, float* scratch);
};

template <class T>
struct AttentionKernels {
  void (*forward)(HeadSize size, const HeadForward<T>& tensors, float* scratch);
  void (*gradient)(HeadSize size, const HeadGradient<T>& tensors, float* scratch);
};

struct Kernels {
  const char* name;  // "avx512", "avx2", "generic"

  TypedKernels<float> f32;
  TypedKernels<Bf16> bf16;
  TypedKernels<F16> f16;

  void (*scale)(float* x, float factor, std::int64_t n);
  double (*squared_norm)(const float* x, std::int64_t n);
  void (*sgd)(float* p, const float* g, const SgdCoefficients& c, std::int64_t n);
  void (*sgd_momentum)(float* p, const float* g, float* velocity, const SgdCoefficients& c, std::int64_t n);
  void (*adamw)(const AdamWState& state, const AdamWCoefficients& c, std::int64_t n);
  void (*lion)(float* p, const float* g, float* m, const LionCoefficients& c, std::int64_t n);

  // y = exp(x - shift), rounded; returns the sum of them as they were. Then, in place, y = y * factor - everywhere.
  double (*exp_kept)(const float* x, float shift, Bf16* y, std::int64_t n);
  void (*scale_kept)(Bf16* y, float factor, float everywhere, std::int64_t n);

  std::int64_t (*attention_scratch)(HeadSize size);
};

const Kernels& generic_kernels();
#ifdef COVEY_X86_KERNELS
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
#endif

// What this processor and its operating system allow, widest first; tests run them all.
struct UsableKernels {
  const Kernels* sets[3];
  int count;
};
UsableKernels usable_kernels();

}  // namespace covey::cpu
