// Rows 4, 21 and 22: the client killed in each phase of a round, every message again a hundred times,
// and another update under a key that has one.
#include <cmath>

#include "bench/reliability/crash.h"
#include "bench/reliability/rows.h"
#include "core/protocol/limits.h"

namespace covey::bench {
namespace {

std::string whole(double value) { return std::to_string(std::llround(value)); }

}  // namespace

std::vector<Figure> crash_phases() {
  const CrashRun run = run_crash("phases --seeds 20", Files::kMemory);
  const std::string name = "row 4: client killed in 6 phases x 20";
  if (!run.complete()) return {not_measured(name, "runs", Bound::kExactly, 0, run.why())};
  const std::string beside = whole(run.figure("kills")) + " kills in " + whole(run.figure("phases")) + " phases, " + whole(run.seconds) + " s";
  return {exactly(name + ", doubled or lost", run.figure("failed"), "runs", 0, beside),
          at_least(name + ", phases hit", run.figure("phases"), "phases", 6),
          at_most(name + ", chunks again for a kill", run.figure("chunks_again_max"), "chunks", kChunkCreditsMax,
                  "an update has 13 chunks; the window is the receiver's credits")};
}

std::vector<Figure> crash_replays() {
  const CrashRun run = run_crash("replays --times 100 --seeds 10", Files::kMemory);
  const std::string name = "row 21: every message x 100, runs not counted once";
  if (!run.complete()) return {not_measured(name, "runs", Bound::kExactly, 0, run.why())};
  return {exactly(name, run.figure("failed"), "runs", 0,
                  whole(run.figure("replayed")) + " messages again: same connection, another, a later round; " +
                      whole(run.figure("counted")) + " updates counted, " + whole(run.seconds) + " s")};
}

std::vector<Figure> crash_changed() {
  const CrashRun run = run_crash("changed --seeds 40", Files::kMemory);
  const std::string name = "row 22: same key, other hash";
  if (!run.complete() || run.figure("changed") <= 0) return {not_measured(name, "%", Bound::kExactly, 100, run.why())};
  return {exactly(name + ", refused", 100 * run.figure("changed_refused") / run.figure("changed"), "%", 100,
                  whole(run.figure("changed")) + " tries, " + whole(run.seconds) + " s"),
          exactly(name + ", refused and not audited or counted", run.figure("failed"), "runs", 0,
                  whole(run.figure("conflicts_audited")) + " refused while their attempt was open are in the audit log")};
}

}  // namespace covey::bench
