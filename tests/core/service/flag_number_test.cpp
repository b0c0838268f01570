#include "core/service/flag_number.h"

#include <doctest/doctest.h>

using covey::refuse_nan, covey::refuse_negative;

TEST_CASE("flags: what is not a number lies in no range") {
  for (const std::string bad : {"nan", "NaN", "-nan", "NAN(1)"}) CHECK(refuse_nan(bad).find(bad) != std::string::npos);
  // Numbers, and what the parser itself refuses.
  for (const std::string other : {"0", "-1.5", "1e300", "inf", "", "x", "nothing"}) CHECK(refuse_nan(other).empty());
}

TEST_CASE("flags: a number below 0 is not taken for a very large one") {
  for (const std::string bad : {"-1", " -7", "-0"}) CHECK(refuse_negative(bad).find("'" + bad + "' is below 0") == 0);
  for (const std::string other : {"0", "1", "18446744073709551615", "", "x", "1-1"}) CHECK(refuse_negative(other).empty());
}
