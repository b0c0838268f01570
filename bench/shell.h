// Runs a command line, for rows that measure a program as its user starts it.
#pragma once
#include <string>

namespace covey::bench {

struct Ran {
  int code = -1;       // -1: it could not be run, or a signal ended it
  std::string output;  // its standard output
};

Ran run(const std::string& command);

// Whether rows that take many minutes are to run: COVEY_FIGURES_SLOW is set, and neither empty nor 0.
bool slow_rows();

}  // namespace covey::bench
