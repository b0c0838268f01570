// 6 clients that exchange a whole model with the coordinator, round after round: GPT-2 Large is 3.35 GB.
#include <algorithm>
#include <filesystem>
#include <stdexcept>

#include "bench/reliability/ingest_bed.h"
#include "bench/reliability/rows.h"

namespace covey::bench {
namespace {

constexpr std::uint64_t kLarge = 838'000'000;  // parameters, x 4 bytes = 3.35 GB

std::vector<Figure> exchange(const std::string& name, std::uint64_t parameters, std::size_t rounds, unsigned limit_s) {
  const std::uint64_t bytes = parameters * 4;
  const std::uint64_t free = std::filesystem::space(std::filesystem::temp_directory_path()).available;
  if (free < 10 * bytes)  // 6 updates, two models, and room for others
    return {not_measured(name + ", peak memory", "MiB", Bound::kAtMost, 8192, "needs " + std::to_string(10 * bytes >> 20) +
                                                                   " MiB of disk, " + std::to_string(free >> 20) + " are free")};
  const Ingested done = ingest({.intake = Intake::kAttempt, .clients = 6, .updates = 1, .parameters = parameters,
                                .rounds = rounds, .download = true, .limit_s = limit_s});
  if (!done.error.empty()) throw std::runtime_error(done.error);
  double peak = 0, total = 0;
  for (const IngestRound& round : done.rounds) {
    peak = std::max(peak, round.peak_mib);
    total += round.seconds + round.aggregate_seconds;
  }
  std::vector<Figure> figures{at_most(name + ", peak memory", peak, "MiB", 8192.0 * static_cast<double>(parameters) / kLarge,
                                      std::to_string(bytes >> 20) + " MiB a model, " + std::to_string(done.rounds.size()) +
                                          " rounds, uploads and sums in " + std::to_string(total) + " s")};
  if (done.rounds.size() >= 3)  // the first one fills the allocator's pools
    figures.push_back(at_most(name + ", last round's peak over the second's", done.rounds.back().peak_mib / done.rounds[1].peak_mib,
                              "times", 1.02, "MiB: first " + std::to_string(done.rounds.front().peak_mib) + ", second " +
                                                 std::to_string(done.rounds[1].peak_mib) + ", last " +
                                                 std::to_string(done.rounds.back().peak_mib)));
  return figures;
}

}  // namespace

std::vector<Figure> ingest_models_scaled() { return exchange("ingest: 6 clients x 335 MB x 10 rounds", kLarge / 10, 10, 400); }
std::vector<Figure> ingest_models_large() { return exchange("ingest: 6 clients x 3.35 GB, 1 round", kLarge, 1, 550); }

}  // namespace covey::bench
