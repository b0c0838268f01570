// Inner loops of CpuOps, compiled once per instruction set and chosen when the program runs.
//
// The .cpp files that carry special compiler flags include nothing but this header and the .inc
// files: an inline function of the standard library compiled there could be the copy that the
// linker keeps, and would then crash on an older processor.
#pragma once
#include <cstdint>

namespace covey::cpu {

struct AdamWCoefficients {
  float keep;              // 1 - learning rate * decay
  float beta1, beta2;
  float step_size;         // learning rate / first correction
  float root_correction;   // 1 / sqrt(second correction)
  float epsilon;
};

struct HeadSize {
  std::int64_t length, head_size;
  std::int64_t stride;  // floats between positions
};
struct HeadGradient {
  const float *q, *k, *v, *y, *lse, *dy;
  float *dq, *dk, *dv;
};

// Pointers may be equal to each other where Ops allows aliasing, but never overlap otherwise.
struct Kernels {
  const char* name;  // "avx512", "avx2", "generic"

  void (*add)(const float* a, const float* b, float* y, std::int64_t n);
  void (*scale)(float* x, float factor, std::int64_t n);
  double (*squared_norm)(const float* x, std::int64_t n);
  void (*relu)(const float* x, float* y, std::int64_t n);
  void (*relu_grad)(const float* y, const float* dy, float* dx, std::int64_t n);
  void (*swiglu)(const float* gate, const float* up, float* y, std::int64_t n);
  void (*swiglu_grad)(const float* gate, const float* up, const float* dy, float* dgate, float* dup,
                      std::int64_t n);
  void (*sgd)(float* p, const float* g, float rate, float decay, std::int64_t n);
  // momentum 0 starts the velocity as the gradient.
  void (*sgd_momentum)(float* p, const float* g, float* velocity, float rate, float decay,
                       float momentum, std::int64_t n);
  void (*adamw)(float* p, const float* g, float* m, float* v, const AdamWCoefficients& c,
                std::int64_t n);

  void (*column_sums)(const float* x, std::int64_t m, std::int64_t n, float* sums);  // +=
  void (*rmsnorm)(const float* x, const float* g, float* y, float* rstd, std::int64_t m,
                  std::int64_t d);
  void (*rmsnorm_grad)(const float* x, const float* g, const float* rstd, const float* dy, float* dx,
                       float* dg, std::int64_t m, std::int64_t d);
  // One position: x[heads, 2*half], cosines and sines [half].
  void (*rope)(float* x, const float* cosines, const float* sines, float direction,
               std::int64_t heads, std::int64_t half);

  float (*largest)(const float* x, std::int64_t n);
  // out = exp(x - shift), returns the sum; out may be x or null.
  double (*exp_sum)(const float* x, float shift, float* out, std::int64_t n);

  void (*maxpool2)(const float* x, float* y, std::int32_t* argmax, std::int64_t height,
                   std::int64_t width);

  // One (batch, head) of causal attention; scratch of attention_scratch() floats, 64-byte aligned.
  std::int64_t (*attention_scratch)(HeadSize size);
  void (*attention)(HeadSize size, const float* q, const float* k, const float* v, float* y,
                    float* lse, float* scratch);
  void (*attention_grad)(HeadSize size, HeadGradient tensors, float* scratch);
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
