// Row 31: a hundred thousand comings and goings, for the night.
#include "bench/load/soak.h"

#include "bench/load/child.h"
#include "bench/reliability/rows.h"
#include "bench/shell.h"

namespace covey::bench {

std::vector<Figure> soak() {
  const std::string name = "row 31: growth of memory over 100,000 comings and goings";
  if (!slow_rows())
    return {not_measured(name, "%", Bound::kAtMost, 5,
                         "it takes up to 10 minutes; set COVEY_FIGURES_SLOW=1. 10,000 of them: ./check slow")};
  const load::Soaked soaked = load::soak({});
  if (!soaked.why.empty()) return {not_measured(name, "%", Bound::kAtMost, 5, soaked.why + "; " + soaked.text())};
  return {at_most(name, soaked.rss_growth_percent(), "%", 5, soaked.text() + "; " + load::machine_state()),
          exactly("row 31: threads and connections that stay behind",
                  static_cast<double>(soaked.threads_gained() + soaked.sockets_gained()), "", 0,
                  "other open files: " + std::to_string(soaked.files_gained()) + " more"),
          exactly("row 31: visitors that could not join", static_cast<double>(soaked.not_joined), "", 0),
          at_most("row 31: it takes", soaked.seconds, "s", 600, load::machine_state())};
}

}  // namespace covey::bench
