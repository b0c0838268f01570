#include "core/tensor/cpu/amx.h"

#ifdef COVEY_X86_KERNELS
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace covey::cpu {

#ifdef COVEY_X86_KERNELS
namespace {

constexpr unsigned kTileData = 18;            // bit of XCR0, with 17 for the configuration
constexpr long kRequestPermission = 0x1023;   // ARCH_REQ_XCOMP_PERM of Linux

unsigned enabled_states() {  // XCR0's low half
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

bool ask() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & (1U << 27)) == 0) return false;  // no xgetbv
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  const bool tiles = (d & (1U << 24)) != 0 && (d & (1U << 22)) != 0;  // AMX-TILE, AMX-BF16
  const bool vectors = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
  if (!tiles || !vectors) return false;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) == 0 || (a & (1U << 5)) == 0) return false;  // AVX512-BF16
  if ((enabled_states() >> (kTileData - 1) & 3U) != 3U) return false;
  return syscall(SYS_arch_prctl, kRequestPermission, long{kTileData}) == 0;
}

}  // namespace

bool amx_usable() {
  static const bool usable = ask();
  return usable;
}
#else
bool amx_usable() { return false; }
#endif

}  // namespace covey::cpu
