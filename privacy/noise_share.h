// Each member's share of a release's noise, so that those who contribute for certain reach what was promised: of
// n_min survivors, A may be corrupt and add nothing, so n_min - A shares must make the whole. What more honest
// survivors add is not counted.
#pragma once
#include <cstdint>
#include <span>
#include <variant>

#include "privacy/discrete_gaussian.h"
#include "privacy/skellam.h"

namespace covey {

enum class NoiseMechanism : std::uint8_t { kDiscreteGaussian = 1, kSkellam = 2 };  // as NoiseTerms::mechanism
const char* name_of(NoiseMechanism mechanism);

struct NoisePromise {
  double deviation = 0;             // sigma of the sum's noise, in grid steps
  std::uint32_t survivors_min = 0;  // n_min
  std::uint32_t corrupt_max = 0;    // A
  std::uint32_t honest_min = 3;     // n_min - A at least
};

struct NoiseShare {
  NoiseVariance variance;          // of one member's noise: at least sigma^2 / (n_min - A)
  std::uint32_t contributors = 0;  // n_min - A
  double deviation() const;        // sigma_l, grid steps
  bool operator==(const NoiseShare&) const = default;
};
// Errors: kInvalidArgument, where n_min - A is below honest_min or sigma has no such share.
Result<NoiseShare> noise_share(const NoisePromise& promise);

// One member's source of its share.
class RingNoise {
 public:
  // Errors: kInvalidArgument, where the mechanism cannot draw the variance.
  static Result<RingNoise> of(NoiseMechanism mechanism, const NoiseVariance& variance);
  void add_to(std::span<std::int64_t> out, NoiseBits& bits) const;  // out[i] += noise, modulo 2^64
  double total_variation() const;                                   // of one draw from its law, at most

 private:
  using Source = std::variant<DiscreteGaussian, Skellam>;
  explicit RingNoise(Source source) : source_(std::move(source)) {}
  Source source_;
};

}  // namespace covey
