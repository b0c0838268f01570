#include "coordinator/job.h"

#include <algorithm>
#include <cmath>

#include "aggregation/robust_mean.h"
#include "core/protocol/exchanged.h"
#include "core/protocol/job_fit.h"
#include "core/protocol/manifest.h"
#include "core/protocol/records.h"

namespace covey {
namespace {

constexpr std::uint64_t kTargetsMax = std::uint64_t{1} << 48;  // sums over any cohort stay below 2^64
constexpr double kSecondsMax = 1e9;

bool sane_loss(double loss) { return std::isfinite(loss) && loss >= 0; }

}  // namespace

std::uint64_t memory_bytes_of(const JobSpec& spec) {
  if (spec.server.combine != CombineKind::kMean) return robust_bytes_min(spec.selection.min_clients);
  if (spec.durability != Durability::kAttempt) return 0;
  return exchanged_size(spec) * sizeof(std::int64_t);
}

Result<void> check_memory(const JobSpec& spec, std::uint64_t most) {
  const std::uint64_t bytes = memory_bytes_of(spec);
  if (bytes <= most) return {};
  return unexpected(ErrorCode::kResourceExhausted,
                    (spec.server.combine == CombineKind::kMean ? "the sum of its updates takes " : "combining its updates takes ") + std::to_string((bytes + (1U << 20) - 1) >> 20) +
                        " MiB of the coordinator's memory, its --memory allows " + std::to_string(most >> 20) +
                        "; use durability = \"update\", a smaller model or more memory");
}

QuotaSpec quota_of(const JobSpec& spec, const QuotaSpec& caps) {
  const auto less = [](auto a, auto b) { return a == 0 ? b : b == 0 ? a : std::min(a, b); };
  return {less(spec.quota.nodes_max, caps.nodes_max), less(spec.quota.update_bytes_max, caps.update_bytes_max)};
}

Result<void> check_caps(const JobSpec& spec, const QuotaSpec& caps) {
  const auto refuse = [](const std::string& what, const std::string& rule) {
    return unexpected(ErrorCode::kResourceExhausted, what + ": this coordinator gives one job at most " + rule);
  };
  if (caps.nodes_max != 0) {
    const std::string rule = std::to_string(caps.nodes_max) + " clients at once (--job-nodes-max); lower it";
    if (spec.quota.nodes_max > caps.nodes_max) return refuse("quota.nodes_max = " + std::to_string(spec.quota.nodes_max), rule);
    if (spec.selection.min_clients > caps.nodes_max)
      return refuse("selection.min_clients = " + std::to_string(spec.selection.min_clients), rule);
  }
  if (caps.update_bytes_max == 0) return {};
  const std::string rule = size_text(caps.update_bytes_max) + " of updates at once (--job-updates-max); ";
  if (spec.quota.update_bytes_max > caps.update_bytes_max)
    return refuse("quota.update_bytes_max = \"" + size_text(spec.quota.update_bytes_max) + "\"", rule + "lower it");
  const std::uint64_t held = updates_held_min(spec), each = update_bytes_of(spec);
  if (caps.update_bytes_max / held >= each) return {};
  return refuse(std::to_string(held) + " updates of " + std::to_string(each) + " bytes",
                rule + (held > 1 ? "use fewer selection.min_clients, durability = \"attempt\" or a smaller model" : "use a smaller model"));
}

Result<Job> make_job(JobId id, JobSpecRow row) {
  Job job;
  job.id = id;
  COVEY_TRY(job.spec, parse_accepted_job(row.toml));
  job.row = std::move(row);
  job.config = blob_ref_of(bytes_of(public_toml(job.spec)));
  job.summary.job = id;
  job.summary.name = job.spec.name;
  job.summary.rounds = job.spec.rounds;
  return job;
}

Result<void> load_model(Job& job, std::uint32_t version, ByteSpan value) {
  COVEY_TRY(job.models[version], decode_model_row(value));
  return {};
}

Result<void> load_metrics(Job& job, ByteSpan value) {
  COVEY_TRY(RoundMetrics metrics, decode_round_metrics(value));
  job.metrics.push_back(metrics);
  return {};
}

Result<void> load_client_metrics(Job& job, std::uint32_t round, const PeerKey& peer, ByteSpan value) {
  COVEY_TRY(ClientMetrics metrics, decode_client_metrics(value));
  if (metrics.round != round) return unexpected(ErrorCode::kCorrupted, "its round is not the key's");
  job.clients[round].push_back(std::move(metrics));
  job.client_keys[round].push_back(peer);
  ++job.client_rows;
  return {};
}

Result<void> check_loaded(const Job& job) {
  const auto bad = [&](const std::string& what) {
    return unexpected(ErrorCode::kCorrupted, "row " + job_state_key(job.id) + ": " + what);
  };
  if (job.summary.job != job.id) return bad("it is of another job");
  if (job.summary.submitted == Instant{}) return bad("missing");
  const bool has_model = !job.models.empty();
  if (job.summary.round > 0 && (!has_model || job.models.rbegin()->first != job.summary.round))
    return bad("the model of round " + std::to_string(job.summary.round) + " is missing");
  if (has_model && job.models.rbegin()->second.manifest != job.summary.model)
    return bad("its model is not the latest in model/");
  return {};
}

void put_state(const Job& job, Batch& batch) { batch.put(job_state_key(job.id), encode(job.summary)); }

void put_metrics(Job& job, Batch& batch, const RoundMetrics& metrics,
                 std::vector<std::pair<PeerKey, ClientMetrics>> clients) {
  batch.put(round_metrics_key(job.id, metrics.round), encode(metrics));
  job.metrics.push_back(metrics);
  for (auto& [peer, row] : clients) {
    batch.put(client_metrics_key(job.id, metrics.round, peer), encode(row));
    job.clients[metrics.round].push_back(std::move(row));
    job.client_keys[metrics.round].push_back(peer);
  }
  job.client_rows += clients.size();
  while (job.client_rows > kClientMetricsMax && job.clients.size() > 1) {
    const auto oldest = job.client_keys.begin();
    for (const PeerKey& peer : oldest->second) batch.erase(client_metrics_key(job.id, oldest->first, peer));
    job.client_rows -= oldest->second.size();
    job.clients.erase(oldest->first);
    job.client_keys.erase(oldest);
  }
}

TrainStats sane(TrainStats stats) {
  if (!sane_loss(stats.loss_sum)) {
    stats.loss_sum = 0;
    stats.targets = 0;
  }
  stats.targets = std::min(stats.targets, kTargetsMax);
  stats.seconds = std::isfinite(stats.seconds) ? std::clamp(stats.seconds, 0.0, kSecondsMax) : 0.0;
  return stats;
}

EvalStats sane(EvalStats stats) {
  if (!sane_loss(stats.loss_sum)) return EvalStats{};
  stats.targets = std::min(stats.targets, kTargetsMax);
  stats.correct = std::min(stats.correct, stats.targets);
  return stats;
}

}  // namespace covey
