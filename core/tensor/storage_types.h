// Elements of 16 bits, which only store. No functions here: the kernels of each instruction set, which
// must not share inline functions with anyone, read this header too.
#pragma once
#include <cstdint>

namespace covey {

struct Bf16 {  // the upper half of an f32
  std::uint16_t bits;
};
struct F16 {  // IEEE 754 binary16
  std::uint16_t bits;
};

}  // namespace covey
