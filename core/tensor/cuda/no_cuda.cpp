#include "core/tensor/cuda/cuda_ops.h"

namespace covey::cuda {
namespace {

constexpr const char* kWhyNot =
    "built without CUDA: configure with -DCOVEY_CUDA=ON on a machine with the CUDA Toolkit";

Unexpected refusal() { return unexpected(ErrorCode::kUnsupported, kWhyNot); }

}  // namespace

bool cuda_available(std::string* why_not) {
  if (why_not != nullptr) *why_not = kWhyNot;
  return false;
}

Result<void> add(std::span<const float>, std::span<const float>, std::span<float>) {
  return refusal();
}
Result<void> fill(std::span<float>, float) { return refusal(); }
Result<void> scale(std::span<float>, float) { return refusal(); }
Result<void> relu(std::span<const float>, std::span<float>) { return refusal(); }
Result<void> relu_grad(std::span<const float>, std::span<const float>, std::span<float>) {
  return refusal();
}
Result<void> sgd(std::span<float>, std::span<const float>, std::span<float>, SgdStep) {
  return refusal();
}
Result<void> adamw(std::span<float>, std::span<const float>, std::span<float>, std::span<float>,
                   AdamWStep) {
  return refusal();
}

}  // namespace covey::cuda
