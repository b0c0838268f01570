// Following a job while it runs.
#pragma once
#include <functional>

#include "coordinator/cli/console.h"
#include "coordinator/cli/session.h"

namespace covey::cli {

struct FollowRequest {
  JobId job = 0;
  std::optional<JobSpec> spec;       // when it is known already
  std::string resume_hint;           // said when Ctrl-C ends the following; empty: nothing is said
  std::function<Result<void>()> check;  // asked at every look; its error ends the following. May be empty
};
struct Followed {
  JobSummary summary;                // as last heard
  bool interrupted = false;          // Ctrl-C: the job goes on
};
// Prints one line (or JSON object) per committed round until the job is over, and a moving line for
// the round in progress. Rides over a restart of the coordinator: tries again for five minutes.
// StopSignals must be in place. Errors: kNotFound, kUnavailable after that.
Result<Followed> follow_job(Session& session, const FollowRequest& request, Console& console);

// 0 when the job finished, kExitFailed when it failed or was stopped, kExitInterrupted.
int exit_code_of(const Followed& followed);

}  // namespace covey::cli
