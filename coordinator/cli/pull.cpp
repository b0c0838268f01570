#include "coordinator/cli/pull.h"

#include <filesystem>

#include "coordinator/cli/job_view.h"
#include "core/data/safetensors.h"
#include "core/protocol/manifest.h"
#include "core/service/text_file.h"

namespace covey::cli {
namespace {

constexpr std::uint64_t kManifestBytesMax = 1 << 20U;

Result<StoredModel> download(Session& session, BlobStore& blobs, const BlobRef& model, Console& console) {
  if (model.size > kManifestBytesMax)
    return unexpected(ErrorCode::kInvalidMessage, "the coordinator names a model manifest of " +
                                                      bytes_text(model.size) + ", at most " +
                                                      bytes_text(kManifestBytesMax) + " is allowed");
  COVEY_TRY(const Bytes encoded, session.fetch(model, {}));
  COVEY_TRY(const ModelManifest manifest, decode_manifest(encoded));
  std::uint64_t total = 0;
  for (const BlobRef& shard : manifest.shards) total += shard.size;
  std::uint64_t before = 0;
  for (const BlobRef& shard : manifest.shards) {
    if (!blobs.has(shard.id)) {
      COVEY_TRY_VOID(session.fetch(shard, [&](std::uint64_t bytes) {
        const double share = static_cast<double>(before + bytes) / static_cast<double>(total);
        console.progress(bar_text(share, 20) + " " + bytes_text(before + bytes) + " of " + bytes_text(total));
      }));
    }
    before += shard.size;
  }
  console.progress("");
  return read_model(blobs, model.id);
}

Result<void> write_files(const PulledModel& pulled, const JobDetail& detail,
                         const std::vector<ClientMetrics>& clients) {
  const std::string toml = public_toml(pulled.spec);
  const std::map<std::string, std::string> metadata{{"format", "pt"},
                                                    {"covey.job", std::to_string(detail.summary.job)},
                                                    {"covey.round", std::to_string(pulled.version)},
                                                    {"covey.manifest", hex(detail.summary.model.id.span())},
                                                    {"covey.job_toml", toml}};
  std::string lines;
  for (const RoundMetrics& round : detail.metrics)
    lines += to_json(round, detail.summary.job, detail.summary.rounds).text() + "\n";
  for (const ClientMetrics& client : clients) lines += to_json(client).text() + "\n";
  COVEY_TRY_VOID(write_file(pulled.folder + "/model.safetensors",
                            to_safetensors(parameter_table(pulled.spec.model), pulled.parameters, metadata)));
  COVEY_TRY_VOID(write_file(pulled.folder + "/job.toml", bytes_of(toml)));
  return write_file(pulled.folder + "/metrics.jsonl", bytes_of(lines));
}

}  // namespace

Result<std::vector<ClientMetrics>> all_clients(Session& session, JobId job,
                                               const std::vector<RoundMetrics>& rounds) {
  std::vector<ClientMetrics> all;
  for (const RoundMetrics& round : rounds) {
    auto rows = session.clients_of(job, round.round);
    if (!rows && rows.error().code == ErrorCode::kUnsupported) return all;  // there are none under secure aggregation
    if (!rows && rows.error().code == ErrorCode::kNotFound) continue;  // the oldest go in large jobs
    if (!rows) return unexpected(rows.error());
    for (ClientMetrics& row : *rows) {
      row.round = round.round;
      all.push_back(std::move(row));
    }
  }
  return all;
}

Result<PulledModel> pull_model(Session& session, BlobStore& blobs, const JobSummary& summary,
                               const std::string& folder, Console& console) {
  if (summary.model.size == 0)
    return unexpected(ErrorCode::kUnavailable,
                      "job " + std::to_string(summary.job) + " is " + name_of(summary.state) +
                          " and has no model" +
                          (is_over(summary.state) ? "" : " yet; wait until it has started"));
  COVEY_TRY_VOID(make_folders(folder, 0755));
  COVEY_TRY(const JobSpec spec, session.spec_of(summary.job));
  COVEY_TRY(StoredModel model, download(session, blobs, summary.model, console));
  if (model.manifest.spec != spec.model)
    return unexpected(ErrorCode::kInvalidMessage, "the model that the coordinator has for job " +
                                                      std::to_string(summary.job) +
                                                      " is not the one its configuration describes");
  COVEY_TRY(JobDetail detail, session.job(summary.job, 0));
  detail.summary.model = summary.model;
  COVEY_TRY(const auto clients, all_clients(session, summary.job, detail.metrics));
  PulledModel pulled{spec, model.manifest.version, std::move(model.parameters), folder};
  COVEY_TRY_VOID(write_files(pulled, detail, clients));
  return pulled;
}

}  // namespace covey::cli
