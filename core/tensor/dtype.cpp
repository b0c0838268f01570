#include "core/tensor/dtype.h"

namespace covey {

const char* name_of(DType type) {
  switch (type) {
    case DType::kF32: return "f32";
    case DType::kI32: return "i32";
    case DType::kU8: return "u8";
    case DType::kBf16: return "bf16";
    case DType::kF16: return "f16";
    case DType::kI8: return "i8";
  }
  return "unknown dtype";
}

const char* name_of(Device device) {
  switch (device) {
    case Device::kCpu: return "cpu";
    case Device::kCuda: return "cuda";
  }
  return "unknown device";
}

}  // namespace covey
