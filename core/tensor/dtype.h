// Element types of tensors and the devices that hold them.
#pragma once
#include <cstddef>
#include <cstdint>

namespace covey {

// bf16 is the upper half of an f32; f16 is IEEE 754's binary16. Both only store: sums are f32.
enum class DType : std::uint8_t { kF32, kI32, kU8, kBf16, kF16, kI8 };
enum class Device : std::uint8_t { kCpu, kCuda };

constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::kU8:
    case DType::kI8: return 1;
    case DType::kBf16:
    case DType::kF16: return 2;
    default: return 4;
  }
}
// What activations may be stored in.
constexpr bool is_real(DType type) { return type == DType::kF32 || type == DType::kBf16 || type == DType::kF16; }
const char* name_of(DType type);
const char* name_of(Device device);

}  // namespace covey
