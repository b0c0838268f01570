// The randomised Walsh-Hadamard rotation: random signs, then H / sqrt(d). It spreads a vector of any shape over all
// coordinates, so that none of them wraps in the ring (privacy/norm_rounding.h). Suresh, Yu, Kumar and McMahan 2017;
// Kairouz, Liu and Steinke, "The Distributed Discrete Gaussian Mechanism" (2021), section 4.2 and algorithm 1.
//
// The rotation is public: it costs no privacy and gives none. Nothing private rests on its rounding errors either: the
// norm is checked on the whole numbers that come after it.
#pragma once
#include <cstdint>
#include <span>

#include "core/base/bytes.h"
#include "core/base/result.h"

namespace covey {

inline constexpr std::uint64_t kRotatedValuesMax = std::uint64_t{1} << 32;

class Rotation {
 public:
  // Of vectors of `values` elements, with the signs that `public_seed` names (all members of a release: the same).
  // Errors: kInvalidArgument unless 1 <= values <= kRotatedValuesMax.
  static Result<Rotation> of(const Digest& public_seed, std::uint64_t values);

  std::uint64_t values() const { return values_; }
  std::uint64_t padded() const { return padded_; }  // d: the next power of two

  // In place, on padded() elements of which those beyond values() are zero. The same bits on every machine.
  void forward(std::span<float> x) const;
  // The inverse. Elements beyond values() are what noise left there; they are dropped by the caller.
  void inverse(std::span<float> x) const;

 private:
  Rotation(const Digest& seed, std::uint64_t values, std::uint64_t padded);
  void flip(std::span<float> x) const;
  Digest seed_;
  std::uint64_t values_ = 0;
  std::uint64_t padded_ = 0;
};

}  // namespace covey
