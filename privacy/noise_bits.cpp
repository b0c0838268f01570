#include "privacy/noise_bits.h"

#include <bit>

namespace covey {

NoiseBits::NoiseBits(SecureRandom& random) : stream_(Secret<32>::random(random)), used_(words_.size()) {}

NoiseBits::~NoiseBits() { wipe({reinterpret_cast<std::uint8_t*>(words_.data()), sizeof words_}); }

void NoiseBits::refill() {
  static_assert(std::endian::native == std::endian::little, "the stream's words are little-endian");
  stream_.fill({reinterpret_cast<std::uint8_t*>(words_.data()), sizeof words_});
  used_ = 0;
}

std::uint64_t NoiseBits::below(std::uint64_t bound) {
  COVEY_CHECK(bound > 0);
  Wide128 product = static_cast<Wide128>(word()) * bound;
  if (static_cast<std::uint64_t>(product) < bound) {
    const std::uint64_t least = (0 - bound) % bound;
    while (static_cast<std::uint64_t>(product) < least) product = static_cast<Wide128>(word()) * bound;
  }
  return static_cast<std::uint64_t>(product >> 64);
}

Wide128 NoiseBits::below_wide(Wide128 bound) {
  COVEY_CHECK(bound > 0);
  const auto high = static_cast<std::uint64_t>(bound >> 64);
  if (high == 0) return below(static_cast<std::uint64_t>(bound));
  const std::uint64_t mask = ~std::uint64_t{0} >> std::countl_zero(high);
  for (;;) {
    const Wide128 drawn = static_cast<Wide128>(word() & mask) << 64 | word();
    if (drawn < bound) return drawn;
  }
}

// K counts heads of Bernoulli(rate / 1), Bernoulli(rate / 2), ... until the first tails; K is even with the chance
// exp(-rate), of which the series is the expansion.
bool NoiseBits::bernoulli_exp_small(const Fraction& rate) {
  Fraction p = rate;
  for (unsigned k = 1;; ++k) {
    COVEY_CHECK(k < 1024);  // the chance to come here is below 1 / 1023!: it is a broken source
    if (!bernoulli(p)) return k % 2 == 1;
    p.denominator += rate.denominator;
  }
}

bool NoiseBits::bernoulli_exp(Fraction rate) {
  COVEY_CHECK(rate.denominator > 0 && rate.denominator >> kFractionBitsMax == 0);
  for (; rate.numerator > rate.denominator; rate.numerator -= rate.denominator)
    if (!bernoulli_exp_small({1, 1})) return false;
  return bernoulli_exp_small(rate);
}

}  // namespace covey
