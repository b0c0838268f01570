// What covey-sim prints: one tidy line a round, or JSON lines.
#pragma once
#include <string>

#include "sim/campaign.h"
#include "sim/simulation.h"

namespace covey {

// Held-out quality in the unit that fits the model: bits per byte, or accuracy in percent.
std::string quality_text(const JobSpec& job, const EvalStats& evaluation);

std::string round_line(const JobSpec& job, const RoundMetrics& metrics);
std::string round_json(const JobSpec& job, const RoundMetrics& metrics);

std::string summary_text(const JobSpec& job, const SimulationResult& result, double real_seconds);
std::string summary_json(const JobSpec& job, const SimulationResult& result, double real_seconds);

// The end of `covey-sim faults`: what passed, failed and ended in a stalemate, of how many; `wanted` are the seeds
// that were asked for, and fewer were run where it was interrupted.
struct CampaignReport {
  const Campaign& campaign;
  std::uint64_t wanted = 0;
  bool interrupted = false;
  double real_seconds = 0;
};
std::string campaign_text(const CampaignReport& report);
std::string campaign_json(const CampaignReport& report);

}  // namespace covey
