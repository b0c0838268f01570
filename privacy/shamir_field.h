// The prime field of the shares: integers modulo p = 2^61 - 1. No branch and no table depends on a
// value, so that secrets do not show in time.
#pragma once
#include <cstdint>

namespace covey::field {

inline constexpr std::uint64_t kPrime = (std::uint64_t{1} << 61) - 1;
__extension__ typedef unsigned __int128 Wide;  // ISO C++ has no such type; every compiler of ours does

// v < 2^63: v mod p.
constexpr std::uint64_t reduce(std::uint64_t v) {
  v = (v & kPrime) + (v >> 61);
  const std::uint64_t less = v - kPrime;
  const std::uint64_t borrow = 0 - (less >> 63);  // all ones where v < p
  return (v & borrow) | (less & ~borrow);
}
constexpr std::uint64_t add(std::uint64_t a, std::uint64_t b) { return reduce(a + b); }
constexpr std::uint64_t subtract(std::uint64_t a, std::uint64_t b) { return reduce(a + kPrime - b); }
constexpr std::uint64_t multiply(std::uint64_t a, std::uint64_t b) {
  const Wide product = static_cast<Wide>(a) * b;
  return reduce((static_cast<std::uint64_t>(product) & kPrime) + static_cast<std::uint64_t>(product >> 61));
}
// a^(p-2): the inverse, and 0 for 0. The exponent is public.
constexpr std::uint64_t inverse(std::uint64_t a) {
  std::uint64_t result = 1;
  for (std::uint64_t e = kPrime - 2; e != 0; e >>= 1) {
    if (e & 1) result = multiply(result, a);
    a = multiply(a, a);
  }
  return result;
}

}  // namespace covey::field
