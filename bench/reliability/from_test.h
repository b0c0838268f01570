// Figures of a system test, for rows that measure what a test asserts: it prints a line
// "figure NAME VALUE" for each.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "bench/figure.h"

namespace covey::bench {

struct TestFigures {
  std::map<std::string, double> values;
  std::string why;  // it failed, or was skipped: its code and last line; empty when it passed

  // "14 acknowledged"; "?" where the test did not say.
  std::string text(const std::string& name) const;
  // `figure` with what was measured; not measured where the test did not say, or failed for another reason.
  Figure row(const std::string& name, Figure figure) const;
};

// Runs the test cases that match `pattern` of a program in the build's bin/, at their full length.
TestFigures run_test(const std::string& program, const std::string& pattern);

}  // namespace covey::bench
