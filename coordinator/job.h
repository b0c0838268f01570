// What the coordinator knows of one job beyond its round in progress: all of it is in rows.
#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/tables.h"
#include "core/protocol/job_spec.h"

namespace covey {

// Per-client rows of the oldest rounds go when a job has more than this many, in memory as on disk.
inline constexpr std::size_t kClientMetricsMax = 100'000;

struct Job {
  JobId id = 0;
  JobSpecRow row;
  JobSpec spec;
  BlobRef config;                            // public_toml
  JobSummary summary;                        // cohort and delivered are 0 here
  std::map<std::uint32_t, ModelRow> models;  // by version: the initial, the one before, the latest
  std::vector<RoundMetrics> metrics;         // ascending
  std::map<std::uint32_t, std::vector<ClientMetrics>> clients;  // by round, in order of peer key
  std::map<std::uint32_t, std::vector<PeerKey>> client_keys;    // aligned: the rows' keys
  std::size_t client_rows = 0;

  bool active() const { return summary.state == JobState::kPending || summary.state == JobState::kRunning; }
  bool evaluating() const { return summary.round >= summary.rounds; }  // what the next round does
  std::uint32_t next_round() const { return summary.round + 1; }
};

// A job from its row, or from a submission that parse_job accepts. Errors: parse_accepted_job's.
Result<Job> make_job(JobId id, JobSpecRow row);

// What a job may take of the coordinator's memory at once: the sum of an attempt whose updates are not
// kept, 8 bytes a parameter; of a robust rule the least with which it works (with more it is faster). Models, updates and optimizer states are never in memory as a whole.
std::uint64_t memory_bytes_of(const JobSpec& spec);
// kResourceExhausted with both figures and the remedy when that is more than `most`.
Result<void> check_memory(const JobSpec& spec, std::uint64_t most);

// Whether a job asks for more than the coordinator gives any of them, or cannot get on with it.
// kResourceExhausted naming the setting, the bound and its flag.
Result<void> check_caps(const JobSpec& spec, const QuotaSpec& caps);
// What bounds the job: the less of its own and `caps`; 0: nothing does.
QuotaSpec quota_of(const JobSpec& spec, const QuotaSpec& caps);

// ---- rows of one job, for Coordinator::create. Errors: kCorrupted.
Result<void> load_model(Job& job, std::uint32_t version, ByteSpan value);
Result<void> load_metrics(Job& job, ByteSpan value);
Result<void> load_client_metrics(Job& job, std::uint32_t round, const PeerKey& peer, ByteSpan value);
Result<void> check_loaded(const Job& job);

void put_state(const Job& job, Batch& batch);
void put_metrics(Job& job, Batch& batch, const RoundMetrics& metrics,
                 std::vector<std::pair<PeerKey, ClientMetrics>> clients);

// What a peer reports, made safe to add up and to show: a loss that is not finite or is negative
// makes the whole measurement absent (targets 0).
TrainStats sane(TrainStats stats);
EvalStats sane(EvalStats stats);

}  // namespace covey
