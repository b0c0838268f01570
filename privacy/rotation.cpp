#include "privacy/rotation.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <string>

#include "core/base/check.h"
#include "core/crypto/kdf.h"
#include "core/crypto/prg.h"

namespace covey {
namespace {

constexpr std::size_t kCachedValues = 4096;  // 16 KiB: half of a first-level cache

void butterfly(float* low, float* high, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const float sum = low[i] + high[i];
    high[i] = low[i] - high[i];
    low[i] = sum;
  }
}

// All stages below `to`, within each block of `to` values.
void transform(std::span<float> x, std::size_t from, std::size_t to) {
  for (std::size_t half = from; half < to; half *= 2)
    for (std::size_t at = 0; at < x.size(); at += 2 * half) butterfly(&x[at], &x[at + half], half);
}

// x := H x / sqrt(d); its own inverse.
void hadamard(std::span<float> x) {
  const std::size_t inner = std::min(kCachedValues, x.size());
  for (std::size_t at = 0; at < x.size(); at += inner) transform(x.subspan(at, inner), 1, inner);
  transform(x, inner, x.size());
  const auto scale = static_cast<float>(1 / std::sqrt(static_cast<double>(x.size())));
  for (float& value : x) value *= scale;
}

}  // namespace

Result<Rotation> Rotation::of(const Digest& public_seed, std::uint64_t values) {
  if (values == 0 || values > kRotatedValuesMax)
    return unexpected(ErrorCode::kInvalidArgument, "a rotation of " + std::to_string(values) +
                                                       " values: it takes 1 to 2^32; cut the update into several vectors");
  return Rotation(public_seed, values, std::bit_ceil(values));
}

Rotation::Rotation(const Digest& seed, std::uint64_t values, std::uint64_t padded)
    : seed_(seed), values_(values), padded_(padded) {}

// Bit i of the seed's stream, lowest first in each byte: a set bit is a minus.
void Rotation::flip(std::span<float> x) const {
  Prg stream(derive(Secret<32>(seed_.bytes), "covey rotation signs v1"));
  std::array<std::uint8_t, kCachedValues / 8> signs;
  for (std::size_t at = 0; at < x.size(); at += kCachedValues) {
    const std::size_t count = std::min(kCachedValues, x.size() - at);
    stream.fill(std::span(signs).first((count + 7) / 8));
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint32_t minus = static_cast<std::uint32_t>(signs[i / 8] >> (i % 8)) & 1U;
      x[at + i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x[at + i]) ^ (minus << 31));
    }
  }
}

void Rotation::forward(std::span<float> x) const {
  COVEY_CHECK(x.size() == padded_);
  flip(x);
  hadamard(x);
}

void Rotation::inverse(std::span<float> x) const {
  COVEY_CHECK(x.size() == padded_);
  hadamard(x);
  flip(x);
}

}  // namespace covey
