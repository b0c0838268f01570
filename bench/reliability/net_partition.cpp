// Row 19: the test of a partition (tests/system/partition_test.cpp) says what it saw.
#include <cstdio>
#include <fstream>
#include <sstream>

#include "bench/load/child.h"
#include "bench/reliability/rows.h"
#include "core/protocol/limits.h"
#include "tests/core/base/temporary_folder.h"

namespace covey::bench {

std::vector<Figure> net_partition() {
  const double goal = seconds(kHeartbeatInterval + kLinkTimeout) + 1;
  const char* const name = "row 19: a partition is noticed after";
  const TemporaryFolder folder;
  load::Child test({"partition_test", {"--no-intro"}, folder / "log"});
  const auto code = test.wait(280);
  std::ifstream file(folder / "log");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("figure skipped"))
      return {not_measured(name, "s", Bound::kAtMost, goal, "this machine permits no network namespaces")};
    double detected = 0, resumed = 0;
    unsigned rounds = 0, lost = 0;
    if (std::sscanf(line.c_str(), "figure detect_s=%lf resume_s=%lf rounds=%u lost=%u", &detected, &resumed, &rounds, &lost) != 4)
      continue;
    return {at_most(name, detected, "s", goal, "heartbeat 5 s + link 20 s + 1 s; rounds go on " + std::to_string(resumed) + " s after it heals"),
            exactly("row 19: rounds or updates lost by it", lost + (code == 0 ? 0 : 1), "", 0, std::to_string(rounds) + " rounds of three clients")};
  }
  return {not_measured(name, "s", Bound::kAtMost, goal, "the test ended with " + std::to_string(code.value_or(-1)) + " and no figure")};
}

}  // namespace covey::bench
