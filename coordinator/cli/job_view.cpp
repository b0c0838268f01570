#include "coordinator/cli/job_view.h"

#include <algorithm>
#include <cstdio>
#include <limits>
#include <numbers>

#include "coordinator/cli/format.h"

namespace covey::cli {
namespace {

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();
constexpr std::size_t kBarWidth = 20;

double ratio(double sum, std::uint64_t count) {
  return count == 0 ? kNothing : sum / static_cast<double>(count);
}

// Nobody counts them under secure aggregation, nor where nothing is trained.
double steps_of(const TrainStats& stats) { return stats.steps == 0 ? kNothing : static_cast<double>(stats.steps); }

std::string unless_epoch(Instant instant) { return instant == Instant{} ? "" : iso8601(instant); }

std::string columns(const std::string& round, const std::string& clients, const std::string& train,
                    const std::string& held, const std::string& seconds, const std::string& sent) {
  char line[256];
  std::snprintf(line, sizeof line, "%9.20s %9.20s %12.20s %20.20s %10.20s %10.20s", round.c_str(),
                clients.c_str(), train.c_str(), held.c_str(), seconds.c_str(), sent.c_str());
  return line;
}

}  // namespace

Quality quality_of(const JobSpec& spec) {
  if (!spec.data.is_language()) return Quality::kAccuracy;
  return spec.data.reads_bytes() ? Quality::kBitsPerByte : Quality::kBitsPerToken;
}

double loss(const EvalStats& stats) { return ratio(stats.loss_sum, stats.targets); }
double loss(const TrainStats& stats) { return ratio(stats.loss_sum, stats.targets); }
double bits_per_byte(const EvalStats& stats) { return loss(stats) / std::numbers::ln2; }
double bits_per_byte(const TrainStats& stats) { return loss(stats) / std::numbers::ln2; }
double accuracy(const EvalStats& stats) { return ratio(static_cast<double>(stats.correct), stats.targets); }

double held_out(Quality quality, const EvalStats& stats) {
  return in_bits(quality) ? bits_per_byte(stats) : 100 * accuracy(stats);
}

double trained(Quality quality, const TrainStats& stats) {
  return in_bits(quality) ? bits_per_byte(stats) : loss(stats);
}

const char* held_out_unit(Quality quality) {
  if (!in_bits(quality)) return "% right";
  return quality == Quality::kBitsPerByte ? "bits/byte" : "bits/token";
}

std::string held_out_text(Quality quality, const EvalStats& stats) {
  if (stats.targets == 0) return "-";
  return in_bits(quality) ? fixed_text(bits_per_byte(stats), 3)
                                          : fixed_text(100 * accuracy(stats), 2) + " %";
}

std::string trained_text(Quality quality, const TrainStats& stats) {
  return fixed_text(trained(quality, stats), 3);
}

double round_seconds(const RoundMetrics& metrics) { return std::max(0.0, seconds(metrics.committed - metrics.started)); }

RoundsSpan span_of(std::span<const RoundMetrics> rounds) {
  RoundsSpan span;
  for (std::size_t i = 0; i < rounds.size(); ++i) {
    span.seconds += round_seconds(rounds[i]);
    const double pause = i == 0 ? 0 : seconds(rounds[i].started - rounds[i - 1].committed);
    span.seconds += std::max(0.0, pause);
    span.clock_set_back = span.clock_set_back || pause < 0;
  }
  return span;
}

std::string rounds_head(Quality quality) {
  const std::string unit = quality == Quality::kBitsPerByte ? "b/byte" : "b/token";
  return columns("round", "clients", in_bits(quality) ? "train " + unit : "train loss",
                 in_bits(quality) ? "held-out " + unit + " (1)" : "held-out right (1)", "time",
                 "received");
}

std::string round_line(Quality quality, const RoundMetrics& metrics, std::uint32_t rounds) {
  const bool final = metrics.round > rounds;
  const std::string round = final ? "final" : std::to_string(metrics.round) + "/" + std::to_string(rounds);
  const std::string clients = std::to_string(metrics.delivered) + "/" + std::to_string(metrics.cohort);
  return columns(round, clients, final ? "" : trained_text(quality, metrics.train),
                 held_out_text(quality, metrics.evaluation), duration_text(round_seconds(metrics)),
                 final ? "" : bytes_text(metrics.update_bytes));
}

std::string state_line(const JobSummary& summary, Instant now) {
  const std::string who = "job " + std::to_string(summary.job) + " (" + one_line(summary.name) + ")";
  const std::string rounds =
      std::to_string(summary.round) + " of " + std::to_string(summary.rounds) + " rounds";
  const bool over = is_over(summary.state);
  std::string line = who + ": " + name_of(summary.state) + ", " + rounds;
  if (over && summary.ended != Instant{})
    line += " in " + duration_text(seconds(summary.ended - summary.submitted));
  if (!over) line += ", submitted " + duration_text(seconds(now - summary.submitted)) + " ago";
  return summary.text.empty() ? line : line + ": " + one_line(summary.text);
}

std::string round_progress(const JobSummary& summary, double seconds_in_round) {
  const std::string time = ", " + duration_text(seconds_in_round);
  if (summary.state == JobState::kPending) return "waiting for its turn" + time;
  const std::string round = summary.round >= summary.rounds ? "final measurement"
                                                            : "round " + std::to_string(summary.round + 1) +
                                                                  "/" + std::to_string(summary.rounds);
  if (summary.cohort == 0) {
    const bool ending = summary.phase == "aborting";
    const std::string why = ending                 ? "the last attempt is being ended by a signed ABORT"
                            : summary.text.empty() ? "waiting for clients"
                                                   : one_line(summary.text);
    return bar_text(0, kBarWidth) + " " + round + ": " + why + time;
  }
  const double share = static_cast<double>(summary.delivered) / summary.cohort;
  const std::string attempt = summary.attempt > 1 ? " (attempt " + std::to_string(summary.attempt) + ")" : "";
  return bar_text(share, kBarWidth) + " " + round + attempt + ": " + std::to_string(summary.delivered) +
         " of " + std::to_string(summary.cohort) + " delivered" + phase_text(summary) + time;
}

std::string reason_line(const JobSummary& summary) {
  if (summary.state == JobState::kPending) return "waits for its turn: " + one_line(summary.text);
  const std::string round = summary.round >= summary.rounds ? "final measurement"
                                                            : "round " + std::to_string(summary.round + 1) + "/" +
                                                                  std::to_string(summary.rounds);
  return round + ": " + one_line(summary.text);
}

std::string reason_kind(std::string_view text) {
  std::string kind;
  for (const char c : text)
    if (c < '0' || c > '9') kind += c;
  return kind;
}

std::string phase_text(const JobSummary& summary) {
  if (summary.phase.empty()) return {};
  std::string text = ", " + summary.phase;
  if (summary.survivors > 0)
    return text + ": " + std::to_string(summary.survivors) + " survivors of " + std::to_string(summary.maskers) + " that masked";
  if (summary.maskers > 0)
    return text + ": " + std::to_string(summary.maskers) + " of " + std::to_string(summary.members) + " members mask";
  return summary.members > 0 ? text + ": " + std::to_string(summary.members) + " members" : text;
}

std::string protection_text(const JobSummary& summary) {
  if (!summary.secure)
    return "Plain updates: the coordinator sees every client's update (privacy.secure_aggregation = false).";
  return "Secure aggregation: the coordinator learns the sum of the updates and no client's own. Its members are those the "
         "authority vouches for: this protects against a coordinator that was broken into, not against whoever holds the "
         "authority's key (docs/secure_aggregation.md).";
}

JsonObject to_json(const JobSummary& summary) {
  return JsonObject()
      .add("job", summary.job)
      .add("name", summary.name)
      .add("state", name_of(summary.state))
      .add("round", summary.round)
      .add("rounds", summary.rounds)
      .add("attempt", summary.attempt)
      .add("cohort", summary.cohort)
      .add("delivered", summary.delivered)
      .add("submitted", unless_epoch(summary.submitted))
      .add("ended", unless_epoch(summary.ended))
      .add("text", summary.text)
      .add("model", summary.model.size == 0 ? "" : hex(summary.model.id.span()))
      .add("secure", summary.secure)
      .add("phase", summary.phase)
      .add("members", summary.members)
      .add("maskers", summary.maskers)
      .add("survivors", summary.survivors);
}

JsonObject to_json(const RoundMetrics& metrics, JobId job, std::uint32_t rounds) {
  return JsonObject()
      .add("event", metrics.round > rounds ? "final" : "round")
      .add("job", job)
      .add("round", metrics.round)
      .add("rounds", rounds)
      .add("attempt", metrics.attempt)
      .add("cohort", metrics.cohort)
      .add("delivered", metrics.delivered)
      .add("declined", metrics.declined)
      .add("examples", metrics.examples)
      .add("train_loss", loss(metrics.train))
      .add("train_steps", steps_of(metrics.train))
      .add("train_seconds", metrics.train.seconds)
      .add("held_out_loss", loss(metrics.evaluation))
      .add("held_out_bits", bits_per_byte(metrics.evaluation))
      .add("held_out_accuracy", accuracy(metrics.evaluation))
      .add("held_out_targets", metrics.evaluation.targets)
      .add("held_out_model", metrics.round - 1)
      .add("update_norm", metrics.update_norm)
      .add("update_bytes", metrics.update_bytes)
      .add("started", unless_epoch(metrics.started))
      .add("committed", unless_epoch(metrics.committed))
      .add("seconds", round_seconds(metrics));
}

JsonObject to_json(const ClientMetrics& metrics) {
  return JsonObject()
      .add("round", metrics.round)
      .add("client", metrics.client)
      .add("examples", metrics.examples)
      .add("train_loss", loss(metrics.train))
      .add("train_steps", steps_of(metrics.train))
      .add("train_seconds", metrics.train.seconds)
      .add("held_out_loss", loss(metrics.evaluation))
      .add("held_out_bits", bits_per_byte(metrics.evaluation))
      .add("held_out_accuracy", accuracy(metrics.evaluation))
      .add("held_out_targets", metrics.evaluation.targets);
}

JsonObject to_json(const NodeSummary& node, Instant now) {
  return JsonObject()
      .add("name", node.name)
      .add("key", hex(node.key.span()))
      .add("role", name_of(node.role))
      .add("state", node.revoked                ? "revoked"
                    : now >= node.members_until ? "ended"
                    : node.connected            ? "connected"
                                                : "away")
      .add("device", node.capability.device)
      .add("cores", node.capability.cores)
      .add("memory_bytes", node.capability.memory_bytes)
      .add("gflops", node.capability.gflops)
      .add("enrolled", unless_epoch(node.enrolled))
      .add("last_seen", unless_epoch(node.last_seen))
      .add("members_until", iso8601(node.members_until))
      .add("renewal", node.renewal)
      .add("signing", hex(node.signing.span()))
      .add("credential_epoch", node.credential_epoch);
}

JsonObject to_json(const JournalEntry& entry) {
  return JsonObject()
      .add("sequence", entry.sequence)
      .add("time", iso8601(entry.time))
      .add("job", entry.job)
      .add("text", entry.text);
}

bool is_over(JobState state) {
  return state == JobState::kFinished || state == JobState::kFailed || state == JobState::kStopped;
}

}  // namespace covey::cli
