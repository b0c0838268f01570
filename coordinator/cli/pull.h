// The latest model of a job onto this machine.
#pragma once
#include <string>
#include <vector>

#include "coordinator/cli/console.h"
#include "coordinator/cli/session.h"

namespace covey::cli {

struct PulledModel {
  JobSpec spec;
  std::uint32_t version = 0;       // rounds that made it
  std::vector<float> parameters;
  std::string folder;
};
// Downloads what `blobs` lacks of the model of `summary`, verified by hash, and writes into `folder`:
// model.safetensors, job.toml, metrics.jsonl (one line a round, then one a round and client).
// Errors: kUnavailable when the job has no model yet; kAlreadyExists when `folder` has other things.
Result<PulledModel> pull_model(Session& session, BlobStore& blobs, const JobSummary& summary,
                               const std::string& folder, Console& console);

// Every round's figures of each client that the coordinator still has.
Result<std::vector<ClientMetrics>> all_clients(Session& session, JobId job, const std::vector<RoundMetrics>& rounds);

}  // namespace covey::cli
