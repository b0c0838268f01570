// The first kernels for NVIDIA GPUs, run on host memory: copied in, computed, copied out. They
// exist so that a machine with a GPU can hold them against `ref`. No CUDA header is needed here,
// and a build without CUDA has the same functions, which then say so.
#pragma once
#include <span>
#include <string>

#include "core/base/result.h"
#include "core/tensor/ops.h"

namespace covey::cuda {

// Whether this build has the kernels and this machine a usable device; if not, says why in
// `why_not` (may be null).
bool cuda_available(std::string* why_not);

// Semantics are those of Ops. Spans of one call are equally long.
// Errors: kUnsupported in a build without CUDA, kUnavailable without a usable device, kInternal if
// the device fails.
Result<void> add(std::span<const float> a, std::span<const float> b, std::span<float> y);
Result<void> fill(std::span<float> y, float value);
Result<void> scale(std::span<float> x, float factor);
Result<void> relu(std::span<const float> x, std::span<float> y);
Result<void> relu_grad(std::span<const float> y, std::span<const float> dy, std::span<float> dx);
Result<void> sgd(std::span<float> p, std::span<const float> g, std::span<float> velocity,
                 SgdStep step);
Result<void> adamw(std::span<float> p, std::span<const float> g, std::span<float> m,
                   std::span<float> v, AdamWStep step);

}  // namespace covey::cuda
