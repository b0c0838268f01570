// What a Dataset yields and a Model eats.
#pragma once
#include "core/tensor/tensor.h"

namespace covey {

struct Minibatch {
  Tensor inputs;   // f32 [B, features] or [B, C, H, W]; or i32 [B, T] tokens
  Tensor targets;  // i32 [B] classes; or i32 [B, T] next tokens, -1 where there is none
};

}  // namespace covey
