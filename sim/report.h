// What covey-sim prints: one tidy line a round, or JSON lines.
#pragma once
#include <string>

#include "sim/simulation.h"

namespace covey {

// Held-out quality in the unit that fits the model: bits per byte, or accuracy in percent.
std::string quality_text(const JobSpec& job, const EvalStats& evaluation);

std::string round_line(const JobSpec& job, const RoundMetrics& metrics);
std::string round_json(const JobSpec& job, const RoundMetrics& metrics);

std::string summary_text(const JobSpec& job, const SimulationResult& result, double real_seconds);
std::string summary_json(const JobSpec& job, const SimulationResult& result, double real_seconds);

}  // namespace covey
