// The demonstration's own training: what the clients' code does, called in this process.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/trainer.h"
#include "coordinator/cli/demo_corpora.h"
#include "core/base/blob_store.h"
#include "core/protocol/job_spec.h"

namespace covey::cli {

// The job: a byte-level transformer; every client takes `local_steps` in each round, for which all of them
// together need `round_seconds`: the deadline is several times that. Secure aggregation is on.
JobSpec demo_job(std::uint32_t local_steps, double round_seconds = 0);

// Every client's data as its daemon splits it: the same training part, the same held-out part.
Result<std::vector<LocalData>> load_clients(const JobSpec& job, const std::vector<DemoClient>& clients);

// Seconds that one local step takes on one core while `threads` such trainings run at once.
Result<double> seconds_per_step(const JobSpec& job, const std::vector<LocalData>& clients, std::size_t threads);

// Local steps a round, so that all rounds of `clients` take `seconds` on `cores`.
std::uint32_t steps_per_round(double seconds, double seconds_per_step, std::size_t clients, std::size_t cores,
                              std::uint32_t rounds);

// The model that the coordinator starts from, put into `blobs`.
Result<BlobRef> initial_model(const JobSpec& job, BlobStore& blobs);

// Trains `model` on one client's data alone for as many steps as that client takes in the whole job,
// by the same optimizer and schedule, in one go. Gives the trained model's manifest.
struct AloneRequest {
  JobSpec job;
  BlobRef model;
  PeerKey client;
  const std::atomic<bool>* cancelled = nullptr;
};
Result<BlobRef> train_alone(const AloneRequest& request, const LocalData& data, BlobStore& blobs);

// A model on one client's held-out text.
Result<EvalStats> evaluate_on(const JobSpec& job, const BlobRef& model, const LocalData& data, BlobStore& blobs);

// Cores that this process may use.
std::size_t cores_here();

}  // namespace covey::cli
