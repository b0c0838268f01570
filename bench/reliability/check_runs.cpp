// Rows 12, 13 and 14: the fuzzers and the sanitizers, as ./check runs them.
#include "bench/reliability/rows.h"
#include "bench/shell.h"

namespace covey::bench {
namespace {

constexpr int kFuzzSeconds = 60;

// The line of ./check's summary that begins with `part`; empty when it has none.
std::string summary_line(const std::string& output, const std::string& part) {
  const std::string mark = "check: " + part;
  const std::size_t at = output.rfind("\n" + mark);
  if (at == std::string::npos) return "";
  const std::size_t begin = at + 1 + std::string("check: ").size();
  return output.substr(begin, output.find('\n', begin) - begin);
}

Figure findings(const std::string& name, const Ran& ran, const std::string& part) {
  const std::string line = summary_line("\n" + ran.output, part);
  if (line.empty()) return not_measured(name, "findings", Bound::kExactly, 0, "./check ended with " + std::to_string(ran.code) + " before this part");
  return exactly(name, line.find("passed") == std::string::npos ? 1 : 0, "findings", 0, line);
}

}  // namespace

std::vector<Figure> fuzzers() {
  const Ran ran = run(std::string(COVEY_SOURCE_DIR) + "/check fuzz --seconds " + std::to_string(kFuzzSeconds));
  return {findings("row 12: fuzzers, " + std::to_string(kFuzzSeconds) + " s each", ran, "fuzz:")};
}

std::vector<Figure> sanitizers() {
  const Ran ran = run(std::string(COVEY_SOURCE_DIR) + "/check sanitize");
  return {findings("row 13: address and undefined behaviour", ran, "asan"),
          findings("row 14: threads, with the one libzmq suppression", ran, "tsan")};
}

}  // namespace covey::bench
