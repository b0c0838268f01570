#include "core/tensor/cpu/kernels.h"

namespace covey::cpu {

UsableKernels usable_kernels() {
  UsableKernels usable{};
#ifdef COVEY_X86_KERNELS
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl");
  if (avx512) usable.sets[usable.count++] = &avx512_kernels();
  if (avx2) usable.sets[usable.count++] = &avx2_kernels();
#endif
  usable.sets[usable.count++] = &generic_kernels();
  return usable;
}

}  // namespace covey::cpu
