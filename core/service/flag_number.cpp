#include "core/service/flag_number.h"

#include <cmath>
#include <cstdlib>

namespace covey {

std::string refuse_nan(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  return end != text.c_str() && std::isnan(value) ? "'" + text + "' is not a number: give one" : "";
}

std::string refuse_negative(const std::string& text) {
  const std::size_t first = text.find_first_not_of(" \t");
  return first != std::string::npos && text[first] == '-' ? "'" + text + "' is below 0: give a whole number, 0 or more" : "";
}

}  // namespace covey
