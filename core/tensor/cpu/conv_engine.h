// Convolutions through oneDNN, in the memory layouts that it prefers. Tensors outside are plain
// (NCHW, OIHW); primitives and conversions are kept per shape, working memory is shared by all.
#pragma once
#include <memory>

#include "core/tensor/op_shapes.h"

namespace covey::cpu {

class ConvEngine {  // one per thread of use
 public:
  ConvEngine();
  ~ConvEngine();

  // y = conv(x, w) + b; b may be null.
  void forward(const ConvSize& size, const float* x, const float* w, const float* b, float* y);
  void grad_input(const ConvSize& size, const float* dy, const float* w, float* dx);
  // Writes dw and db, does not accumulate; both must be given.
  void grad_weight(const ConvSize& size, const float* dy, const float* x, float* dw, float* db);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace covey::cpu
