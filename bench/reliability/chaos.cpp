// The demonstration while its own processes are killed at random: as many rounds, and an audit log that
// verifies.
#include <cstdio>

#include "bench/reliability/rows.h"
#include "bench/shell.h"
#include "tests/core/base/temporary_folder.h"

namespace covey::bench {
namespace {

// The line of `output` that holds `mark`, without what surrounds it; empty when there is none.
std::string line_with(const std::string& output, const std::string& mark) {
  const std::size_t at = output.find(mark);
  if (at == std::string::npos) return "";
  std::size_t begin = output.rfind('\n', at);
  begin = output.find_first_not_of(" \n", begin == std::string::npos ? 0 : begin);
  return output.substr(begin, output.find('\n', at) - begin);
}

}  // namespace

std::vector<Figure> chaos() {
  const TemporaryFolder folder;
  const Ran ran = run(std::string(COVEY_BINARY_DIR) + "/bin/covey demo --seconds 30 --chaos 3 --dir " + (folder / "demo") + " 2>&1");
  const std::string end = line_with(ran.output, " rounds in "), kills = line_with(ran.output, " kills"),
                    records = line_with(ran.output, "audit log verifies");
  unsigned job = 0, rounds = 0, wanted = 0;
  const char* const name = "demo under chaos: rounds";
  if (ran.code != 0 || std::sscanf(end.c_str(), "job %u (demo): finished, %u of %u rounds", &job, &rounds, &wanted) != 3)
    return {not_measured(name, "rounds", Bound::kExactly, 20, "the demo ended with " + std::to_string(ran.code) + ": " + line_with(ran.output, "demo:"))};
  return {exactly(name, rounds, "rounds", wanted, kills),
          exactly("demo under chaos: audit logs that do not verify", records.empty() ? 1 : 0, "", 0, records)};
}

}  // namespace covey::bench
