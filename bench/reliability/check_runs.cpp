// Rows 12, 13 and 14: the fuzzers and the sanitizers, as ./check runs them. They build everything again,
// so they run only where slow rows are asked for.
#include "bench/reliability/rows.h"
#include "bench/shell.h"

namespace covey::bench {
namespace {

constexpr int kFuzzSeconds = 60;
constexpr int kLimitSeconds = 3 * 3600;  // then ./check is stopped, which stops what it started

// One part of a run of ./check, by how its line in the summary begins.
struct Part {
  std::string name;
  std::string begins;
};

// The line of ./check's summary that begins with `part`; empty when it has none.
std::string summary_line(const std::string& output, const std::string& part) {
  const std::string mark = "check: " + part;
  const std::size_t at = output.rfind("\n" + mark);
  if (at == std::string::npos) return "";
  const std::size_t begin = at + 1 + std::string("check: ").size();
  return output.substr(begin, output.find('\n', begin) - begin);
}

Figure findings(const Part& part, const Ran& ran) {
  const std::string line = summary_line("\n" + ran.output, part.begins);
  if (line.empty())
    return not_measured(part.name, "findings", Bound::kExactly, 0,
                        ran.code == 124 ? "./check did not end within " + std::to_string(kLimitSeconds) + " s"
                                        : "./check ended with " + std::to_string(ran.code) + " before this part");
  return exactly(part.name, line.find("passed") == std::string::npos ? 1 : 0, "findings", 0, line);
}

std::vector<Figure> checked(const std::string& what, const std::vector<Part>& parts) {
  std::vector<Figure> figures;
  if (!slow_rows()) {
    for (const Part& part : parts)
      figures.push_back(not_measured(part.name, "findings", Bound::kExactly, 0,
                                     "it builds everything again; run ./check " + what + ", or set COVEY_FIGURES_SLOW=1"));
    return figures;
  }
  const Ran ran = run("timeout " + std::to_string(kLimitSeconds) + " " + std::string(COVEY_SOURCE_DIR) + "/check " + what);
  for (const Part& part : parts) figures.push_back(findings(part, ran));
  return figures;
}

}  // namespace

std::vector<Figure> fuzzers() {
  const std::string seconds = std::to_string(kFuzzSeconds);
  return checked("fuzz --seconds " + seconds, {{"row 12: fuzzers, " + seconds + " s each", "fuzz:"}});
}

std::vector<Figure> sanitizers() {
  return checked("sanitize", {{"row 13: address and undefined behaviour", "asan"},
                              {"row 14: threads, with the one libzmq suppression", "tsan"}});
}

}  // namespace covey::bench
