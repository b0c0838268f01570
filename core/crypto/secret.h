// Bytes that must not leak: keys, seeds, shares. Zeroed when they go, moved but never copied by
// accident, and without any text form.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "core/base/secure_random.h"

namespace covey {

// Zeroes `bytes` in a way that the compiler may not leave out.
void wipe(std::span<std::uint8_t> bytes);

// Constant time in the contents; false when the sizes differ.
bool equal_secretly(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b);

template <std::size_t N>
class Secret {
 public:
  static constexpr std::size_t kSize = N;

  Secret() = default;  // zeros
  explicit Secret(std::span<const std::uint8_t, N> bytes) {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin());
  }
  static Secret random(SecureRandom& random) {
    Secret secret;
    random.fill(secret.bytes_);
    return secret;
  }
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { wipe(other.bytes_); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      wipe(other.bytes_);
    }
    return *this;
  }
  ~Secret() { wipe(bytes_); }

  Secret clone() const { return Secret(expose()); }
  std::span<const std::uint8_t, N> expose() const { return bytes_; }
  std::span<std::uint8_t, N> expose() { return bytes_; }
  bool equals(const Secret& other) const { return equal_secretly(bytes_, other.bytes_); }

 private:
  std::array<std::uint8_t, N> bytes_{};
};

}  // namespace covey
