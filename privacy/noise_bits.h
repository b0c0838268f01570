// Chance for privacy noise: bits of AES-256-CTR under a fresh key of the system's SecureRandom, read in pieces,
// and exact coins made of them. No decision here rests on floating point.
//
// Expanding a key instead of asking the system for every byte makes the noise computationally, not perfectly,
// random: privacy then holds against adversaries who cannot break the cipher (Mironov, Pandey, Reingold and
// Vadhan 2009), which the masks of secure aggregation suppose already.
// Time is not constant: how long a batch takes depends a little on what it drew. Whoever can time single draws
// learns of them (Jin, McMurtry, Rubinstein and Ohrimenko 2022); draw whole vectors, and tell nobody when.
#pragma once
#include <array>
#include <cstdint>

#include "core/base/check.h"
#include "core/base/secure_random.h"
#include "core/crypto/prg.h"

namespace covey {

__extension__ typedef unsigned __int128 Wide128;  // ISO C++ has no such type; every compiler of ours does

// A chance or a rate numerator / denominator, denominator > 0.
struct Fraction {
  Wide128 numerator = 0;
  Wide128 denominator = 1;
};
inline constexpr unsigned kFractionBitsMax = 116;  // of a denominator: leaves room for the series below

class NoiseBits {
 public:
  explicit NoiseBits(SecureRandom& random);  // takes 32 bytes of it, now
  ~NoiseBits();
  NoiseBits(const NoiseBits&) = delete;
  NoiseBits& operator=(const NoiseBits&) = delete;

  std::uint64_t word() {
    if (used_ == words_.size()) refill();
    return words_[used_++];
  }
  bool coin() {  // 1/2
    if (coins_ == 1) coins_ = word() | kGuard;
    const bool heads = (coins_ & 1) != 0;
    coins_ >>= 1;
    return heads;
  }
  std::uint64_t below(std::uint64_t bound);  // uniform in [0, bound), bound > 0: Lemire 2019, unbiased
  Wide128 below_wide(Wide128 bound);         // the same, by rejection
  // Heads with the chance p, numerator <= denominator < 2^127: compares a uniform number of as many binary digits
  // as it takes.
  bool bernoulli(const Fraction& p);
  // Heads with the chance exp(-rate). Canonne, Kamath and Steinke 2020, algorithm 1. The denominator has at most
  // kFractionBitsMax bits.
  bool bernoulli_exp(Fraction rate);

 private:
  static constexpr std::uint64_t kGuard = std::uint64_t{1} << 63;  // 63 coins of a word
  void refill();
  bool bernoulli_exp_small(const Fraction& rate);  // rate <= 1
  Prg stream_;
  std::array<std::uint64_t, 512> words_{};
  std::size_t used_ = 0;
  std::uint64_t coins_ = 1;
};

// Inline: ten or more of them go into one sample.
inline bool NoiseBits::bernoulli(const Fraction& p) {
  // The number is 0.u1 u2 ... in base 2^64. Heads if it is below numerator / denominator.
  Wide128 rest = p.numerator;
  const auto low = static_cast<std::uint64_t>(p.denominator);
  const auto high = static_cast<std::uint64_t>(p.denominator >> 64);
  if (rest >= p.denominator) return true;
  for (;;) {
    const std::uint64_t u = word();
    // u * denominator against rest * 2^64, in 192 bits: top * 2^64 + bottom.
    const Wide128 product_low = static_cast<Wide128>(u) * low;
    const Wide128 top = static_cast<Wide128>(u) * high + static_cast<std::uint64_t>(product_low >> 64);
    const auto bottom = static_cast<std::uint64_t>(product_low);
    if (top >= rest) return false;  // u / 2^64 >= rest / denominator already
    // rest * 2^64 - u * denominator = (rest - top) * 2^64 - bottom: heads at once if it is >= denominator.
    const Wide128 difference = rest - top;
    if (difference > Wide128{high} + 1) return true;
    const Wide128 remainder = (difference << 64) - bottom;  // at most 2^127: it fits
    if (remainder >= p.denominator) return true;
    rest = remainder;
  }
}

}  // namespace covey
