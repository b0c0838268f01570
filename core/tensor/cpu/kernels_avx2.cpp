// The inner loops compiled for avx2; see kernels.h for why nothing else may be included.
#include "core/tensor/cpu/kernels.h"

namespace covey::cpu {
namespace {
#define COVEY_KERNELS_NAME "avx2"
#include "core/tensor/cpu/simd.inc"
#include "core/tensor/cpu/elements.inc"
#include "core/tensor/cpu/flat.inc"
#include "core/tensor/cpu/norms.inc"
#include "core/tensor/cpu/pool.inc"
#include "core/tensor/cpu/attention.inc"
#include "core/tensor/cpu/kernels_table.inc"
}  // namespace

const Kernels& avx2_kernels() { return kTable; }

}  // namespace covey::cpu
