#include "privacy/noise_share.h"

#include <cmath>
#include <string>

#include "core/spec/setting.h"

namespace covey {

const char* name_of(NoiseMechanism mechanism) {
  return mechanism == NoiseMechanism::kSkellam ? "Skellam" : "discrete Gaussian";
}

double NoiseShare::deviation() const { return std::sqrt(value_of(variance)); }

Result<NoiseShare> noise_share(const NoisePromise& p) {
  if (p.survivors_min <= p.corrupt_max || p.survivors_min - p.corrupt_max < p.honest_min)
    return unexpected(ErrorCode::kInvalidArgument,
                      std::to_string(p.survivors_min) + " survivors of whom " + std::to_string(p.corrupt_max) +
                          " may be corrupt leave fewer than the " + std::to_string(p.honest_min) +
                          " honest ones that the noise needs: raise selection.min_clients or lower privacy.dropout");
  if (!(p.deviation > 0) || !std::isfinite(p.deviation))
    return unexpected(ErrorCode::kInvalidArgument, "a noise of deviation " + setting_text(p.deviation) + " grid steps: it must be finite and above 0");
  const std::uint32_t contributors = p.survivors_min - p.corrupt_max;
  COVEY_TRY(NoiseVariance variance, noise_variance(p.deviation * p.deviation / contributors));
  // The division may have rounded down across a unit.
  while (value_of(variance) * contributors < p.deviation * p.deviation) ++variance.in_65536ths;
  return NoiseShare{variance, contributors};
}

Result<RingNoise> RingNoise::of(NoiseMechanism mechanism, const NoiseVariance& variance) {
  if (mechanism == NoiseMechanism::kSkellam) {
    COVEY_TRY(Skellam skellam, Skellam::of_variance(variance));
    return RingNoise(std::move(skellam));
  }
  COVEY_TRY_VOID(check_variance(variance));
  return RingNoise(DiscreteGaussian(variance));
}

void RingNoise::add_to(std::span<std::int64_t> out, NoiseBits& bits) const {
  std::visit([&](const auto& source) { source.add_to(out, bits); }, source_);
}

double RingNoise::total_variation() const {
  const auto* skellam = std::get_if<Skellam>(&source_);
  return skellam != nullptr ? skellam->total_variation() : 0;
}

}  // namespace covey
