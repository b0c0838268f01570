#include "bench/reliability/from_test.h"

#include <cstdio>
#include <sstream>

#include "bench/shell.h"

namespace covey::bench {

std::string TestFigures::text(const std::string& name) const {
  const auto at = values.find(name);
  if (at == values.end()) return "?";
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", at->second);
  return text;
}

Figure TestFigures::row(const std::string& name, Figure figure) const {
  const auto at = values.find(name);
  if (at != values.end()) figure.measured = at->second;
  // A figure that is short says itself why its test failed; one that looks good beside a failure does not count.
  if (at != values.end() && (why.empty() || !met(figure))) return figure;
  return not_measured(figure.name, figure.unit, figure.bound, figure.goal, why.empty() ? "the test did not measure it" : why);
}

TestFigures run_test(const std::string& program, const std::string& pattern) {
  const Ran ran = run("COVEY_SLOW=1 " + std::string(COVEY_BINARY_DIR) + "/bin/" + program + " --no-intro -tc=\"" + pattern + "\" 2>/dev/null");
  TestFigures figures;
  std::istringstream lines(ran.output);
  std::string last;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string word, name;
    double value = 0;
    if (words >> word >> name >> value && word == "figure") figures.values[name] = value;
    if (line.find("ERROR") != std::string::npos || line.find("skipped") != std::string::npos) last = line;
  }
  if (ran.code != 0) figures.why = program + " ended with " + std::to_string(ran.code) + ": " + last;
  return figures;
}

}  // namespace covey::bench
