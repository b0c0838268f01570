#include "core/nn/calibration.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace covey;

TEST_CASE("calibration: loss, accuracy and calibration error of known probabilities") {
  // Class 0 with 0.8 three times, right twice; class 1 with 0.5 (after class 0's 0.25) once, right.
  const auto l = [](double p) { return static_cast<float>(std::log(p)); };
  std::vector<float> logits{l(0.8), l(0.1), l(0.1), l(0.8), l(0.1), l(0.1), l(0.8), l(0.1), l(0.1),
                            l(0.25), l(0.5), l(0.25), 9, 9, 9};
  std::vector<std::int32_t> targets{0, 0, 2, 1, -1};
  Calibration calibration;
  calibration.add(tensor_of(logits, {5, 3}), tensor_of(targets, {5}));
  CHECK(calibration.targets() == 4);
  CHECK(calibration.accuracy() == doctest::Approx(0.75));
  CHECK(calibration.loss() == doctest::Approx(-(2 * std::log(0.8) + std::log(0.1) + std::log(0.5)) / 4));
  CHECK(calibration.calibration_error() == doctest::Approx((std::abs(3 * 0.8 - 2) + std::abs(0.5 - 1)) / 4));
  CHECK(Calibration().calibration_error() == 0);
}
