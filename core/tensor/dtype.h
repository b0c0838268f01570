// Element types of tensors and the devices that hold them.
#pragma once
#include <cstddef>
#include <cstdint>

namespace covey {

enum class DType : std::uint8_t { kF32, kI32, kU8 };
enum class Device : std::uint8_t { kCpu, kCuda };

constexpr std::size_t size_of(DType type) { return type == DType::kU8 ? 1 : 4; }
const char* name_of(DType type);
const char* name_of(Device device);

}  // namespace covey
