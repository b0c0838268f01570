#include "sim/report.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace covey {
namespace {

template <class... Args>
std::string format(const char* pattern, Args... args) {
  char buffer[512];
  const int n = std::snprintf(buffer, sizeof buffer, pattern, args...);
  return std::string(buffer, static_cast<std::size_t>(std::clamp(n, 0, static_cast<int>(sizeof buffer) - 1)));
}

double mean(double sum, std::uint64_t count) { return count == 0 ? std::nan("") : sum / static_cast<double>(count); }

// JSON has no NaN.
std::string number(double value) { return std::isfinite(value) ? format("%.6g", value) : "null"; }

double accuracy(const EvalStats& evaluation) { return mean(static_cast<double>(evaluation.correct), evaluation.targets); }
double bits(const EvalStats& evaluation) { return mean(evaluation.loss_sum, evaluation.targets) / std::log(2.0); }

const char* unit_of_bits(const DataSpec& data) { return data.reads_bytes() ? "bits/byte" : "bits/token"; }
const char* quality_name(const DataSpec& data) {
  if (!data.is_language()) return "accuracy";
  return data.reads_bytes() ? "bits_per_byte" : "bits_per_token";
}
double quality(const DataSpec& data, const EvalStats& evaluation) {
  return data.is_language() ? bits(evaluation) : accuracy(evaluation);
}

}  // namespace

std::string quality_text(const JobSpec& job, const EvalStats& evaluation) {
  if (evaluation.targets == 0) return "not measured";
  if (!job.data.is_language()) return format("%.2f %%", 100 * accuracy(evaluation));
  return format("%.4f %s", bits(evaluation), unit_of_bits(job.data));
}

namespace {

// In the unit of what is held out.
std::string trained_text(const JobSpec& job, const TrainStats& train) {
  const double loss = mean(train.loss_sum, train.targets);
  if (!job.data.is_language()) return format("train loss %.4f nats", loss);
  return format("train %.4f %s", loss / std::log(2.0), unit_of_bits(job.data));
}

}  // namespace

std::string round_line(const JobSpec& job, const RoundMetrics& metrics) {
  if (metrics.round > job.rounds)
    return format("final model: held out %s over %llu clients", quality_text(job, metrics.evaluation).c_str(),
                  static_cast<unsigned long long>(metrics.delivered));
  return format("[round %u/%u] %u of %u updates, %s, held out before it %s, %.1f MB, %.1f s", metrics.round,
                job.rounds, metrics.delivered, metrics.cohort, trained_text(job, metrics.train).c_str(),
                quality_text(job, metrics.evaluation).c_str(), static_cast<double>(metrics.update_bytes) / 1e6,
                seconds(metrics.committed - metrics.started));
}

std::string round_json(const JobSpec& job, const RoundMetrics& metrics) {
  return format("{\"event\":\"round\",\"round\":%u,\"attempt\":%u,\"cohort\":%u,\"delivered\":%u,\"declined\":%u,"
                "\"examples\":%llu,\"train_loss\":%s,\"eval_loss\":%s,\"eval_%s\":%s,\"update_norm\":%s,"
                "\"update_bytes\":%llu,\"seconds\":%s}",
                metrics.round, metrics.attempt, metrics.cohort, metrics.delivered, metrics.declined,
                static_cast<unsigned long long>(metrics.examples),
                number(mean(metrics.train.loss_sum, metrics.train.targets)).c_str(),
                number(mean(metrics.evaluation.loss_sum, metrics.evaluation.targets)).c_str(),
                quality_name(job.data),
                number(quality(job.data, metrics.evaluation)).c_str(),
                number(metrics.update_norm).c_str(), static_cast<unsigned long long>(metrics.update_bytes),
                number(seconds(metrics.committed - metrics.started)).c_str());
}

std::string summary_text(const JobSpec&, const SimulationResult& result, double real_seconds) {
  const std::string trace = hex(result.trace.span());
  return format("%u of %u rounds in %.1f virtual seconds (%.1f real); %llu events, %llu frames, %.1f MB on the network\n"
                "trace %s",
                result.detail.summary.round, result.detail.summary.rounds, result.virtual_seconds, real_seconds,
                static_cast<unsigned long long>(result.events), static_cast<unsigned long long>(result.frames),
                static_cast<double>(result.bytes) / 1e6, trace.c_str());
}

std::string summary_json(const JobSpec& job, const SimulationResult& result, double real_seconds) {
  const EvalStats last = result.detail.metrics.empty() ? EvalStats{} : result.detail.metrics.back().evaluation;
  return format("{\"event\":\"summary\",\"rounds\":%u,\"eval_%s\":%s,\"virtual_seconds\":%s,\"seconds\":%s,\"events\":%llu,"
                "\"frames\":%llu,\"bytes\":%llu,\"updates\":%llu,\"trace\":\"%s\"}",
                result.detail.summary.round, quality_name(job.data),
                number(quality(job.data, last)).c_str(), number(result.virtual_seconds).c_str(),
                number(real_seconds).c_str(), static_cast<unsigned long long>(result.events),
                static_cast<unsigned long long>(result.frames), static_cast<unsigned long long>(result.bytes),
                static_cast<unsigned long long>(result.acknowledged), hex(result.trace.span()).c_str());
}

std::string campaign_text(const CampaignReport& report) {
  const Campaign& campaign = report.campaign;
  const std::uint64_t failed = campaign.failures.size(), stalemates = campaign.stalemates.size();
  std::string text = report.interrupted ? std::to_string(campaign.done) + " of " + std::to_string(report.wanted) +
                                              " fault seeds run, interrupted: " + std::to_string(campaign.done - failed - stalemates) + " passed"
                                        : std::to_string(campaign.done - failed - stalemates) + " of " + std::to_string(campaign.done) +
                                              " fault seeds passed";
  text += ", " + std::to_string(failed) + " failed";
  if (stalemates != 0)
    text += ", " + std::to_string(stalemates) + " ended in a stalemate (no promise broken, and the job cannot go on: --help)";
  text += " in " + std::to_string(static_cast<int>(report.real_seconds + 0.5)) + " s; " + std::to_string(campaign.jobs) + " jobs, " +
          std::to_string(campaign.secure_jobs) + " of them under secure aggregation, both kinds in " + std::to_string(campaign.mixed) +
          " worlds; " + std::to_string(campaign.updates) + " updates acknowledged, ";
  if (campaign.opened != 0) text += std::to_string(campaign.opened) + " masked sums opened, ";
  return text + "at most " + std::to_string(static_cast<int>(std::max(0.0, campaign.calm_seconds))) +
         " virtual s from the last fault to the end, trace " + short_hex(campaign.trace);
}

std::string campaign_json(const CampaignReport& report) {
  const Campaign& campaign = report.campaign;
  const std::uint64_t failed = campaign.failures.size(), stalemates = campaign.stalemates.size();
  return "{\"event\":\"faults\",\"wanted\":" + std::to_string(report.wanted) + ",\"seeds\":" + std::to_string(campaign.done) +
         ",\"passed\":" + std::to_string(campaign.done - failed - stalemates) + ",\"failed\":" + std::to_string(failed) +
         ",\"stalemates\":" + std::to_string(stalemates) + ",\"interrupted\":" + (report.interrupted ? "true" : "false") +
         ",\"opened\":" + std::to_string(campaign.opened) + ",\"jobs\":" + std::to_string(campaign.jobs) +
         ",\"secure_jobs\":" + std::to_string(campaign.secure_jobs) + ",\"mixed_worlds\":" + std::to_string(campaign.mixed) +
         ",\"updates\":" + std::to_string(campaign.updates) +
         ",\"events\":" + std::to_string(campaign.events) + ",\"trace\":\"" + hex(campaign.trace.span()) + "\"}";
}

}  // namespace covey
