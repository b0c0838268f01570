// Element types of tensors in files (safetensors, GGUF), and their way to and from floats.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/bytes.h"
#include "core/base/result.h"

namespace covey {

enum class FileDType : std::uint8_t { kF32, kF16, kBF16, kI8, kI32, kI64, kOther };

// By its safetensors name ("F32", "BF16" ...). `bytes` is 0 for a name that the format does not know.
// Types that the format knows and we do not read (BOOL, F64, F8_E4M3 ...) are kOther: a file that holds
// one can be opened, and the tensor itself cannot be read.
struct FileDTypeInfo {
  FileDType dtype = FileDType::kOther;
  std::size_t bytes = 0;
};
FileDTypeInfo file_dtype_from(std::string_view name);
const char* name_of(FileDType dtype);  // "F32"; kOther: "other"
std::size_t size_of(FileDType dtype);  // bytes an element; not of kOther

// IEEE 754 binary16 and bfloat16. Widening is exact; narrowing rounds to nearest, ties to even, keeps
// NaN a NaN, and what is too large becomes infinity.
float widened_f16(std::uint16_t half);
float widened_bf16(std::uint16_t half);
std::uint16_t narrowed_f16(float value);
std::uint16_t narrowed_bf16(float value);

// Little-endian elements as floats: out.size() of them, bytes.size() = out.size() * size_of(dtype).
// Integers beyond 2^24 are rounded to the nearest float.
void widen(ByteSpan bytes, FileDType dtype, std::span<float> out);
// Floats as little-endian elements of F32, F16 or BF16.
Bytes narrow(std::span<const float> values, FileDType dtype);
// That none of a tensor's values becomes an infinity in `dtype`. An infinity or NaN that is one already passes.
// Errors: kInvalidArgument naming the tensor, the value, the largest there is, and types that hold it.
Result<void> check_fits(std::string_view tensor, std::span<const float> values, FileDType dtype);

}  // namespace covey
