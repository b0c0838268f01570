#include "core/service/flag_number.h"

#include <doctest/doctest.h>

using covey::refuse_nan;

TEST_CASE("flags: what is not a number lies in no range") {
  for (const std::string bad : {"nan", "NaN", "-nan", "NAN(1)"}) CHECK(refuse_nan(bad).find(bad) != std::string::npos);
  // Numbers, and what the parser itself refuses.
  for (const std::string other : {"0", "-1.5", "1e300", "inf", "", "x", "nothing"}) CHECK(refuse_nan(other).empty());
}
