#include "privacy/clipper.h"

#include <cmath>
#include <cstddef>
#include <string>

#include "core/base/check.h"

namespace covey {
namespace {

// The f32 next to `exact` on the side of zero.
float towards_zero(double exact) {
  const float nearest = static_cast<float>(exact);
  return std::fabs(static_cast<double>(nearest)) > std::fabs(exact) ? std::nextafter(nearest, 0.0f)
                                                                    : nearest;
}

}  // namespace

Result<double> finite_norm(std::span<const float> update) {
  double sum = 0;  // at most 1.2e77 for each element: no overflow in f64
  for (std::size_t i = 0; i < update.size(); ++i) {
    const double value = static_cast<double>(update[i]);
    if (!std::isfinite(value))
      return unexpected(ErrorCode::kInvalidUpdate,
                        "element " + std::to_string(i) + " of " + std::to_string(update.size()) +
                            " is " + (std::isnan(value) ? "NaN" : "infinite") +
                            ": lower train.learning_rate or set train.clip_norm");
    sum += value * value;
  }
  return std::sqrt(sum);
}

Result<Clipping> clip(std::span<float> update, double bound) {
  COVEY_CHECK(std::isfinite(bound) && bound > 0);
  COVEY_TRY(const double norm, finite_norm(update));
  if (norm <= bound) return Clipping{norm, 1};
  const double factor = bound / norm;
  for (float& value : update) value = towards_zero(static_cast<double>(value) * factor);
  return Clipping{norm, factor};
}

}  // namespace covey
