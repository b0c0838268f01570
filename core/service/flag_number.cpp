#include "core/service/flag_number.h"

#include <cmath>
#include <cstdlib>

namespace covey {

std::string refuse_nan(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return end != text.c_str() && std::isnan(value) ? "'" + text + "' is not a number: give one" : "";
}

}  // namespace covey
