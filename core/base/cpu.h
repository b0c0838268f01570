// Which of a kernel's builds this machine runs, best first. A kernel is compiled once per instruction set
// (its room's CMakeLists.txt), and the choice is made when the program starts. No inline function here but templates,
// which such a build does not instantiate: the linker could take its copy for everyone.
#pragma once
#include <cstddef>

namespace covey {

// What the builds for AVX2 and AVX-512 may use: with AVX2, fused multiply-adds; with AVX-512, F, DQ and VL.
[[nodiscard]] bool cpu_has_avx2();
[[nodiscard]] bool cpu_has_avx512();

template <class Kernels>
struct Usable {  // best first; at least one
  const Kernels* sets[3] = {};
  std::size_t count = 0;
};
// `avx512` and `avx2` are null where the program was built without them.
template <class Kernels>
Usable<Kernels> usable_of(const Kernels* avx512, const Kernels* avx2, const Kernels& generic) {
  Usable<Kernels> usable;
  if (avx512 != nullptr && cpu_has_avx512()) usable.sets[usable.count++] = avx512;
  if (avx2 != nullptr && cpu_has_avx2()) usable.sets[usable.count++] = avx2;
  usable.sets[usable.count++] = &generic;
  return usable;
}

}  // namespace covey
