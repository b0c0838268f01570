// Convolutions through oneDNN, in the memory layouts that it prefers. Tensors outside are plain
// (NCHW, OIHW), activations f32 or bf16, weights f32; primitives and conversions are kept per shape, working memory is shared by all.
#pragma once
#include <memory>

#include "core/tensor/op_shapes.h"

namespace covey::cpu {

class ConvEngine {  // one per thread of use
 public:
  ConvEngine();
  ~ConvEngine();

  // x, y and their gradients are of `type`, kF32 or kBf16.
  // y = conv(x, w) + b; b may be null.
  void forward(const ConvSize& size, DType type, const void* x, const float* w, const float* b, void* y);
  void grad_input(const ConvSize& size, DType type, const void* dy, const float* w, void* dx);
  // Writes dw and db, does not accumulate; both must be given.
  void grad_weight(const ConvSize& size, DType type, const void* dy, const void* x, float* dw, float* db);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace covey::cpu
