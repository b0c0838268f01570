// A job's figures as people and programs read them. Pure.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "coordinator/cli/json_object.h"
#include "core/base/time.h"
#include "core/protocol/job_spec.h"
#include "core/protocol/message.h"

namespace covey::cli {

// What a job's held-out data measures: bits per byte for a model of bytes, per token for one of tokens, otherwise the
// share that is right.
enum class Quality { kBitsPerByte, kBitsPerToken, kAccuracy };
inline bool in_bits(Quality quality) { return quality != Quality::kAccuracy; }
Quality quality_of(const JobSpec& spec);

// NaN where nothing was measured.
double bits_per_byte(const EvalStats& stats);
double bits_per_byte(const TrainStats& stats);
double loss(const EvalStats& stats);        // nats per target
double loss(const TrainStats& stats);
double accuracy(const EvalStats& stats);    // [0, 1]
double held_out(Quality quality, const EvalStats& stats);   // bits, or accuracy in percent
double trained(Quality quality, const TrainStats& stats);   // bits, or nats

const char* held_out_unit(Quality quality);  // "bits/byte", "bits/token", "% right"
std::string held_out_text(Quality quality, const EvalStats& stats);
std::string trained_text(Quality quality, const TrainStats& stats);
double round_seconds(const RoundMetrics& metrics);
// From the first round's start to the last one's end, rounds and the pauses between them. Times of day are the
// coordinator's: where its clock was set back between two rounds, their pause counts as none.
struct RoundsSpan {
  double seconds = 0;
  bool clock_set_back = false;
};
RoundsSpan span_of(std::span<const RoundMetrics> rounds);

// The line above the rounds, and one per round. Row rounds + 1 is the final model's measurement.
std::string rounds_head(Quality quality);
std::string round_line(Quality quality, const RoundMetrics& metrics, std::uint32_t rounds);
std::string state_line(const JobSummary& summary, Instant now);  // one line: what the job is doing or how it ended

// "[####....] round 3/15: 2 of 5 delivered, 12 s"
std::string round_progress(const JobSummary& summary, double seconds_in_round);
// Why a job waits, whole: "round 3/15: waiting for clients: ...", or what keeps a pending one.
std::string reason_line(const JobSummary& summary);
// The same for texts that differ in their figures only, such as how many clients are there.
std::string reason_kind(std::string_view text);
// ", masking: 5 of 6 members mask"; nothing without secure aggregation.
std::string phase_text(const JobSummary& summary);
// What the job's clients are protected against, and what not, in one line.
std::string protection_text(const JobSummary& summary);

JsonObject to_json(const JobSummary& summary);
JsonObject to_json(const RoundMetrics& metrics, JobId job, std::uint32_t rounds);
JsonObject to_json(const ClientMetrics& metrics);
JsonObject to_json(const NodeSummary& node, Instant now);
JsonObject to_json(const JournalEntry& entry);

bool is_over(JobState state);

}  // namespace covey::cli
