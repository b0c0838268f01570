// 64 updates of 10 million f32 from 16 clients, hashed and summed, beside the crypto alone.
#include <algorithm>
#include <stdexcept>

#include "bench/reliability/ingest_bed.h"
#include "bench/reliability/rows.h"

namespace covey::bench {
namespace {

constexpr int kTurns = 3;  // of the two, one after the other: this machine's speed changes

IngestRound run(Intake intake) {
  const Ingested done = ingest({.intake = intake});
  if (!done.error.empty() || done.rounds.empty()) throw std::runtime_error("ingest: " + done.error);
  return done.rounds.front();
}

double gigabytes() {
  const IngestPlan plan;
  return static_cast<double>(plan.clients * plan.updates) * static_cast<double>(plan.parameters) * 4e-9;
}

std::string text(double value) {
  char out[32];
  std::snprintf(out, sizeof out, "%.2f", value);
  return out;
}

std::string rate(const IngestRound& round) {
  return text(gigabytes() / round.seconds) + " GB/s, " + text(round.cpu_seconds / gigabytes()) + " CPU-s/GB";
}

IngestRound best(const std::vector<IngestRound>& turns) {
  return *std::min_element(turns.begin(), turns.end(), [](const auto& a, const auto& b) { return a.seconds < b.seconds; });
}

}  // namespace

std::vector<Figure> ingest_updates() {
  std::vector<IngestRound> crypto, attempt;
  for (int turn = 0; turn < kTurns; ++turn) {
    crypto.push_back(run(Intake::kCryptoAlone));
    attempt.push_back(run(Intake::kAttempt));
  }
  const IngestRound update = run(Intake::kUpdate);
  const IngestRound floor = best(crypto), summed = best(attempt);
  double peak = 0;
  for (const IngestRound& round : attempt) peak = std::max(peak, round.peak_mib);
  const double model_mib = 4e7 / (1 << 20);
  return {at_least("ingest: 64 x 10M f32, share of the crypto alone", floor.seconds / summed.seconds, "", 0.9,
                   "attempt " + rate(summed) + ", then next model in " + text(summed.aggregate_seconds) +
                       " s; crypto and hash alone " + rate(floor) + "; durability update " + rate(update) +
                       ", then summed and next model in " + text(update.aggregate_seconds) + " s"),
          at_most("ingest: 64 x 10M f32, peak memory", peak, "MiB", model_mib + 64,
                  "one model " + text(model_mib) + " MiB, its sum " + text(2 * model_mib) + "; crypto alone " +
                      text(floor.peak_mib) + "; durability update " + text(update.peak_mib))};
}

}  // namespace covey::bench
