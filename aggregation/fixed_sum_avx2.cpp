// The inner loops compiled for avx2; see fixed_sum_kernels.h for why nothing else may be included.
#include "aggregation/fixed_sum_kernels.h"

namespace covey::fixed_sum {
namespace {
#define COVEY_KERNELS_NAME "avx2"
#include "aggregation/fixed_sum_kernels.inc"
}  // namespace

const Kernels& avx2_kernels() { return kTable; }

}  // namespace covey::fixed_sum
