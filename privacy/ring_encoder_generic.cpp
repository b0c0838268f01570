// The inner loop compiled for generic; see ring_encoder_kernels.h for why nothing else may be included.
#include "privacy/ring_encoder_kernels.h"

namespace covey::ring_encoder {
namespace {
#define COVEY_KERNELS_NAME "generic"
#include "privacy/ring_encoder_kernels.inc"
}  // namespace

const Kernels& generic_kernels() { return kTable; }

}  // namespace covey::ring_encoder
