#include "core/data/file_dtype.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string>

#include "core/base/check.h"

namespace covey {
namespace {

static_assert(std::endian::native == std::endian::little, "elements are copied as they lie");

struct Known {
  std::string_view name;
  FileDTypeInfo info;
};
// clang-format off
constexpr auto kKnown = std::to_array<Known>({
    {"F32", {FileDType::kF32, 4}},    {"F16", {FileDType::kF16, 2}},  {"BF16", {FileDType::kBF16, 2}},
    {"I8", {FileDType::kI8, 1}},      {"I32", {FileDType::kI32, 4}},  {"I64", {FileDType::kI64, 8}},
    {"BOOL", {FileDType::kOther, 1}}, {"U8", {FileDType::kOther, 1}}, {"I16", {FileDType::kOther, 2}},
    {"U16", {FileDType::kOther, 2}},  {"U32", {FileDType::kOther, 4}}, {"U64", {FileDType::kOther, 8}},
    {"F64", {FileDType::kOther, 8}},  {"C64", {FileDType::kOther, 8}}, {"F8_E4M3", {FileDType::kOther, 1}},
    {"F8_E5M2", {FileDType::kOther, 1}}, {"F8_E8M0", {FileDType::kOther, 1}},
});
// clang-format on

template <class Element>
void widen_each(ByteSpan bytes, std::span<float> out, auto convert) {
  for (std::size_t i = 0; i < out.size(); ++i) {
    Element element;
    std::memcpy(&element, bytes.data() + i * sizeof element, sizeof element);
    out[i] = convert(element);
  }
}

}  // namespace

FileDTypeInfo file_dtype_from(std::string_view name) {
  for (const Known& known : kKnown)
    if (known.name == name) return known.info;
  return {};
}

const char* name_of(FileDType dtype) {
  for (const Known& known : kKnown)
    if (known.info.dtype == dtype && dtype != FileDType::kOther) return known.name.data();
  return "other";
}

std::size_t size_of(FileDType dtype) {
  COVEY_CHECK(dtype != FileDType::kOther);
  return file_dtype_from(name_of(dtype)).bytes;
}

float widened_f16(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1fu;
  const std::uint32_t fraction = half & 0x3ffu;
  if (exponent == 0) {
    const float magnitude = std::ldexp(static_cast<float>(fraction), -24);
    return sign != 0 ? -magnitude : magnitude;
  }
  const std::uint32_t wide = exponent == 31 ? 255u : exponent + 112u;
  return std::bit_cast<float>(sign | wide << 23 | fraction << 13);
}

float widened_bf16(std::uint16_t half) { return std::bit_cast<float>(std::uint32_t{half} << 16); }

std::uint16_t narrowed_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);  // quiet, so never infinity
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

std::uint16_t narrowed_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u)
    return static_cast<std::uint16_t>(sign | 0x7c00u);  // rounds to 65,536 or more
  if (magnitude < 0x38800000u) {  // below 2^-14: a multiple of 2^-24, which the addition rounds to
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

void widen(ByteSpan bytes, FileDType dtype, std::span<float> out) {
  COVEY_CHECK(bytes.size() == out.size() * size_of(dtype));
  if (out.empty()) return;
  switch (dtype) {
    case FileDType::kF32:
      std::memcpy(out.data(), bytes.data(), bytes.size());
      return;
    case FileDType::kF16:
      return widen_each<std::uint16_t>(bytes, out, widened_f16);
    case FileDType::kBF16:
      return widen_each<std::uint16_t>(bytes, out, widened_bf16);
    case FileDType::kI8:
      return widen_each<std::int8_t>(bytes, out, [](auto v) { return static_cast<float>(v); });
    case FileDType::kI32:
      return widen_each<std::int32_t>(bytes, out, [](auto v) { return static_cast<float>(v); });
    case FileDType::kI64:
      return widen_each<std::int64_t>(bytes, out, [](auto v) { return static_cast<float>(v); });
    case FileDType::kOther:
      break;
  }
  COVEY_CHECK(dtype != FileDType::kOther);
}

Bytes narrow(std::span<const float> values, FileDType dtype) {
  Bytes bytes(values.size() * size_of(dtype));
  if (dtype == FileDType::kF32) {
    if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  COVEY_CHECK(dtype == FileDType::kF16 || dtype == FileDType::kBF16);
  const auto convert = dtype == FileDType::kF16 ? narrowed_f16 : narrowed_bf16;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::uint16_t half = convert(values[i]);
    std::memcpy(bytes.data() + 2 * i, &half, 2);
  }
  return bytes;
}

Result<void> check_fits(std::string_view tensor, std::span<const float> values, FileDType dtype) {
  if (dtype != FileDType::kF16 && dtype != FileDType::kBF16) return {};
  const bool half = dtype == FileDType::kF16;
  const auto widened = half ? widened_f16 : widened_bf16;
  const auto narrowed = half ? narrowed_f16 : narrowed_bf16;
  for (const float value : values) {
    if (!std::isfinite(value) || std::isfinite(widened(narrowed(value)))) continue;
    char text[32];
    std::snprintf(text, sizeof text, "%g", static_cast<double>(value));
    return unexpected(ErrorCode::kInvalidArgument,
                      "tensor " + std::string(tensor) + " holds " + text + ", and " + (half ? "f16 ends at 65504" : "bf16 ends at 3.39e38") +
                          ": write it with --dtype " + (half ? "bf16 or f32" : "f32"));
  }
  return {};
}

}  // namespace covey
