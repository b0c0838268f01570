// Shamir's secret sharing (1979) of 32-byte secrets over p = 2^61 - 1, with correction of wrong shares
// (Gao 2003). A secret is five limbs of 7 bytes, the last padded with zeros; a share is the five
// polynomials' values at one x, 8 bytes each, little-endian.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "core/base/bytes.h"
#include "core/crypto/secret.h"

namespace covey {

inline constexpr std::size_t kShareLimbs = 5;
inline constexpr std::size_t kShareBytes = 8 * kShareLimbs;

struct Share {
  std::uint32_t x = 0;  // the holder's place in the roster, plus 1
  Secret<kShareBytes> value;
  Share clone() const { return {x, value.clone()}; }
};

// One share for each x, any `threshold` of which open the secret. The xs must be distinct and not 0,
// and at least `threshold` many.
std::vector<Share> deal(const Secret<32>& secret, std::uint32_t threshold, std::span<const std::uint32_t> xs,
                        SecureRandom& random);

// kInvalidMessage for x = 0 or a limb that is not below p.
Result<void> check_share(const Share& share);

struct Opened {
  Secret<32> secret;
  std::vector<std::uint32_t> wrong;  // the xs whose shares lie off the polynomial; ascending
};
// From at least `threshold` shares, all of which must agree. Errors: kInvalidMessage for a share as
// above, twice the same x, too few shares, or shares that do not lie on one polynomial.
Result<Opened> open_exactly(std::span<const Share> shares, std::uint32_t threshold);
// Corrects up to (m - t) / 2 wrong shares of m and names them. Errors: as above; with more wrong shares
// either that or a wrong secret: the caller holds it against its commitment.
Result<Opened> open_correcting(std::span<const Share> shares, std::uint32_t threshold);

}  // namespace covey
