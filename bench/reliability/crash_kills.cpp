// Rows 1 and 2: the coordinator and the client killed at every fault point, and the deliberate defects
// that the same harness must catch.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "bench/reliability/crash.h"
#include "bench/reliability/rows.h"
#include "bench/shell.h"

namespace covey::bench {
namespace {

std::string whole(double value) { return std::to_string(std::llround(value)); }

// The first failed run: the flags that play it again, and what was wrong.
std::string first_failed(const CrashRun& run) {
  const std::size_t from = run.ran.output.find("FAILED ");
  if (from == std::string::npos) return "";
  std::string text = run.ran.output.substr(from, 400);
  std::replace(text.begin(), text.end(), '\n', ' ');
  return "; " + text;
}

std::string beside(const CrashRun& run) {
  return whole(run.figure("runs")) + " runs, " + whole(run.figure("kills")) + " kills, " + whole(run.figure("counted")) +
         " updates counted, " + whole(run.figure("ledger_records")) + " ledger records, " +
         whole(run.figure("runs_per_second")) + " runs/s, " + whole(run.seconds) + " s" + first_failed(run);
}

// Kills at each point. With files in memory nothing waits for a disk: there are as many as the goal asks
// for. Runs under secure aggregation have real cryptography of six members in each, and have no goal of time.
constexpr int kSeeds = 200, kSeedsOnDisk = 10, kSecureOnDisk = 3;
constexpr double kPlainSeconds = 180;

std::vector<Figure> kills(const std::string& jobs, const std::string& where, int seeds, Files files) {
  const CrashRun run = run_crash("kill --jobs " + jobs + " --seeds " + std::to_string(seeds), files);
  const std::string name = "row 1: " + jobs + " jobs, " + where;
  if (!run.complete()) return {not_measured(name, "findings", Bound::kExactly, 0, run.why())};
  std::vector<Figure> all = {
      exactly(name + ", lost or doubled or ledger off", run.figure("failed"), "runs", 0, beside(run)),
      at_least(name + ", points with " + std::to_string(seeds) + " kills", run.figure("points"), "points", 25,
                   whole(run.figure("points_passed")) + " points are passed, " + whole(run.figure("aborted")) + " attempts ended in an ABORT, " +
                       whole(run.figure("stalemates")) + " jobs in a stalemate that their members' records prove")};
  if (jobs == "plain" && seeds == kSeeds)
    all.push_back(at_most(name + ", " + std::to_string(seeds) + " kills at each point take", run.seconds, "s", kPlainSeconds, "at the goal's 20 points: " + whole(run.seconds * 20 / std::max(1.0, run.figure("points"))) + " s"));
  return all;
}

}  // namespace

std::vector<Figure> crash_kills() {
  std::vector<Figure> all;
  const auto add = [&all](std::vector<Figure> more) { std::move(more.begin(), more.end(), std::back_inserter(all)); };
  for (const bool secure : {false, true}) {
    const std::string jobs = secure ? "secure" : "plain";
    add(kills(jobs, "files in memory", kSeeds, Files::kMemory));
    add(kills(jobs, "files on disk", secure ? kSecureOnDisk : kSeedsOnDisk, Files::kDisk));
  }
  return all;
}

std::vector<Figure> crash_mutants() {
  const CrashRun run = run_crash("mutants --seeds 1000", Files::kMemory);
  const std::string name = "row 2: deliberate defects caught";
  if (!run.complete()) return {not_measured(name, "defects", Bound::kAtLeast, 5, run.why())};
  std::string seeds;
  for (const auto& [key, value] : run.figures)
    if (key.starts_with("seeds_") && key != "seeds_longest") seeds += (seeds.empty() ? "" : ", ") + key.substr(6) + " " + whole(value);
  return {at_least(name, run.figure("caught"), "defects", std::max(5.0, run.figure("mutants")), "seeds until caught: " + seeds),
          exactly("row 2: findings without a defect, same seeds", run.figure("failed_without"), "runs", 0, whole(run.seconds) + " s")};
}

}  // namespace covey::bench
