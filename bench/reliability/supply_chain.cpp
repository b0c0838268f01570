// Row 32: how exposed the hardened units are, whether the bill of materials can be written, and
// whether two builds of one commit are the same bytes.
#include <cstdlib>

#include "bench/reliability/rows.h"
#include "bench/shell.h"

namespace covey::bench {
namespace {

const std::string kSource = COVEY_SOURCE_DIR;

Figure exposure(const std::string& unit) {
  const std::string name = "row 32: exposure of " + unit;
  const Ran ran = run("systemd-analyze security --offline=true --no-pager " + kSource + "/packaging/systemd/" + unit + " 2>/dev/null");
  const std::string mark = "exposure level for " + unit + ": ";
  const std::size_t at = ran.output.find(mark);
  if (at == std::string::npos)
    return not_measured(name, "points", Bound::kAtMost, 1.5, "systemd-analyze is not here (Debian package systemd)");
  return at_most(name, std::strtod(ran.output.c_str() + at + mark.size(), nullptr), "points", 1.5, "a bare unit: 9.6");
}

Figure bill_of_materials() {
  const std::string name = "row 32: libraries without a known package";
  const Ran ran = run(kSource + "/packaging/sbom " + COVEY_BINARY_DIR + " 2>&1");
  if (ran.code != 0) return not_measured(name, "libraries", Bound::kExactly, 0, ran.output);
  std::size_t packages = 0;
  for (std::size_t at = 0; (at = ran.output.find("SPDXRef-deb-", at)) != std::string::npos; ++at) ++packages;
  return exactly(name, 0, "libraries", 0, std::to_string(packages / 2) + " packages in the bill");
}

Figure two_builds() {
  const std::string name = "row 32: programs that differ between two builds";
  if (!slow_rows())
    return not_measured(name, "programs", Bound::kExactly, 0,
                        "it builds everything twice; set COVEY_FIGURES_SLOW=1, or run packaging/reproduce");
  const Ran ran = run(kSource + "/packaging/reproduce --jobs 2");
  std::size_t differ = 0, same = 0;
  for (std::size_t at = 0; (at = ran.output.find("DIFFERS", at)) != std::string::npos; ++at) ++differ;
  for (std::size_t at = 0; (at = ran.output.find("identical", at)) != std::string::npos; ++at) ++same;
  if (differ + same == 0) return not_measured(name, "programs", Bound::kExactly, 0, "a build failed: run packaging/reproduce");
  return exactly(name, static_cast<double>(differ), "programs", 0, std::to_string(same) + " identical");
}

}  // namespace

std::vector<Figure> supply_chain() {
  return {exposure("covey-coordinator.service"), exposure("covey-client.service"), bill_of_materials(), two_builds()};
}

}  // namespace covey::bench
