// A job's curves and figures as one HTML file without script or external resource.
#pragma once
#include <string>
#include <vector>

#include "core/base/time.h"
#include "core/protocol/job_spec.h"
#include "core/protocol/message.h"

namespace covey::cli {

class Session;

struct ReportData {
  JobSummary summary;
  JobSpec spec;
  std::vector<RoundMetrics> rounds;    // ascending; rounds + 1 is the final measurement
  std::vector<ClientMetrics> clients;  // of those rounds
  Instant made;
};
// Everything that the coordinator has of the job. Errors: kUnavailable before it has started.
Result<ReportData> report_data(Session& session, JobId job);

// Pure. Names and texts come from peers: all of them are escaped.
std::string report_html(const ReportData& data);

}  // namespace covey::cli
