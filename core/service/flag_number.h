// Numbers of flags, as text: what the flag parsers' own checks of a range let through.
#pragma once
#include <string>

namespace covey {

// Empty where `text` is a number, or none at all (the parser says so); else why it is refused: "nan" compares with
// no bound, and so lies in every range.
std::string refuse_nan(const std::string& text);
// The same for a whole number of 64 bits: "-1" would be read as 2^64 - 1.
std::string refuse_negative(const std::string& text);

}  // namespace covey
