// The inner loops compiled for avx512; see fixed_sum_kernels.h for why nothing else may be included.
#include "aggregation/fixed_sum_kernels.h"

namespace covey::fixed_sum {
namespace {
#define COVEY_KERNELS_NAME "avx512"
#include "aggregation/fixed_sum_kernels.inc"
}  // namespace

const Kernels& avx512_kernels() { return kTable; }

}  // namespace covey::fixed_sum
