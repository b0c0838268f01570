// Row 31: a hundred thousand comings and goings for the night, forty thousand in a table.
#include "bench/load/soak.h"

#include "bench/load/child.h"
#include "bench/reliability/rows.h"
#include "bench/shell.h"

namespace covey::bench {
namespace {

constexpr double kWarmVisits = 20'000;  // then nothing should grow any more, however many come

// The whole row, for the night, and what of it fits into a table: fewer visits after as long a warm-up.
constexpr load::SoakPlan kWhole{};
constexpr load::SoakPlan kShort{.visits = 40'000, .nodes = 4'000, .batches = 20, .seconds_max = 600};

std::string text_of(std::size_t visits) { return std::to_string(visits / 1000) + ",000"; }

}  // namespace

std::vector<Figure> soak() {
  const load::SoakPlan plan = slow_rows() ? kWhole : kShort;
  const std::string name = "row 31: growth of memory over " + text_of(plan.visits) + " comings and goings";
  const std::string rest = slow_rows() ? "" : "; all 100,000 with COVEY_FIGURES_SLOW=1";
  const load::Soaked soaked = load::soak(plan);
  if (!soaked.why.empty()) return {not_measured(name, "%", Bound::kAtMost, 5, soaked.why + "; " + soaked.text() + rest)};
  const double warm = kWarmVisits / static_cast<double>(plan.visits);
  return {at_most(name, soaked.rss_growth_percent(warm), "%", 5,
                  "from the 20,000th on; " + soaked.text() + "; " + load::machine_state() + rest),
          exactly("row 31: threads and connections that stay behind",
                  static_cast<double>(soaked.threads_gained() + soaked.sockets_gained()), "", 0,
                  "other open files: " + std::to_string(soaked.files_gained()) + " more"),
          exactly("row 31: visitors that could not join", static_cast<double>(soaked.not_joined), "", 0),
          at_most("row 31: it takes", soaked.seconds, "s", 600 * static_cast<double>(plan.visits) / static_cast<double>(kWhole.visits),
                  load::machine_state())};
}

}  // namespace covey::bench
