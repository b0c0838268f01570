#include "privacy/clipper.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/base/random.h"

using namespace covey;

TEST_CASE("clipper: an update over the bound is scaled to it") {
  std::vector<float> update{3, -4};
  const auto clipping = clip(update, 2.5);
  REQUIRE(clipping.has_value());
  CHECK(*clipping == Clipping{5, 0.5});
  CHECK(update == std::vector<float>{1.5f, -2});
}

TEST_CASE("clipper: an update at or below the bound keeps its bits") {
  std::vector<float> update{3, -4};
  CHECK(*clip(update, 5) == Clipping{5, 1});
  CHECK(*clip(update, 100) == Clipping{5, 1});
  CHECK(update == std::vector<float>{3, -4});
  std::vector<float> zero(3);
  CHECK(*clip(zero, 1e-3) == Clipping{0, 1});
  std::vector<float> empty;
  CHECK(*clip(empty, 1) == Clipping{0, 1});
}

TEST_CASE("clipper: rounding never lifts the norm over the bound, nor far below it") {
  Random random(7);
  for (const double bound : {1e-3, 0.1, 1.0, 17.3}) {
    std::vector<float> update(10'001);
    for (float& value : update) value = static_cast<float>(random.normal());
    REQUIRE(clip(update, bound).has_value());
    const double norm = *finite_norm(update);
    CHECK(norm <= bound * (1 + 1e-14));
    CHECK(norm >= bound * (1 - 1e-6));
  }
}

TEST_CASE("clipper: the largest floats do not overflow") {
  std::vector<float> update(4, std::numeric_limits<float>::max());
  const auto clipping = clip(update, 1);
  REQUIRE(clipping.has_value());
  CHECK(clipping->norm_before == 2.0 * static_cast<double>(std::numeric_limits<float>::max()));
  for (const float value : update) CHECK(value == 0.5f);
}

TEST_CASE("clipper: NaN and infinity are refused by place, the update stays as it was") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> update{3, 4, nan, infinity};
  const auto failed = clip(update, 1);
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().code == ErrorCode::kInvalidUpdate);
  CHECK(failed.error().message.find("element 2 of 4 is NaN") != std::string::npos);
  CHECK(update[0] == 3);
  CHECK(update[1] == 4);
  const auto infinite = finite_norm(std::vector<float>{0, -infinity});
  REQUIRE_FALSE(infinite.has_value());
  CHECK(infinite.error().message.find("element 1 of 2 is infinite") != std::string::npos);
}
