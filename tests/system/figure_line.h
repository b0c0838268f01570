// A figure that a test measured, for the table that runs the test: a line "figure NAME VALUE".
#pragma once
#include <cstdio>

namespace covey::system_test {

inline void figure(const char* name, double value) {
  std::printf("figure %s %.9g\n", name, value);
  std::fflush(stdout);
}

}  // namespace covey::system_test
