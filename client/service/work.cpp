#include "client/service/work.h"

#include "client/mask_work.h"

namespace covey {

Result<WorkValue> ClientWork::operator()(const Work& work, const std::atomic<bool>& cancelled) {
  if (const auto* letter = std::get_if<PutBlob>(&work)) return run(*letter, cancelled);  // waits for no training
  const std::lock_guard lock(mutex_);
  return std::visit([&](const auto& w) { return run(w, cancelled); }, work);
}

Result<std::shared_ptr<const LocalData>> ClientWork::data_of(const JobSpec& job) {
  std::string config = public_toml(job);
  if (local_ && config == loaded_) return local_;
  local_.reset();  // two data sets at once might not fit
  COVEY_TRY(LocalData loaded, parts_.source.load(job));
  if (parts_.log != nullptr && loaded.data->damaged() != 0)
    parts_.log->warning("data_damaged", {{"job", job.name}, {"passed_over", loaded.data->damaged()}, {"allowed", job.data.damaged_max}});
  local_ = std::make_shared<const LocalData>(std::move(loaded));
  loaded_ = std::move(config);
  return local_;
}

Result<WorkValue> ClientWork::run(const PrepareData& work, const std::atomic<bool>&) {
  COVEY_TRY(const auto local, data_of(work.job));
  COVEY_TRY(DataPrepared prepared, prepare(*local));
  return WorkValue(prepared);
}

Result<WorkValue> ClientWork::run(const Train& work, const std::atomic<bool>& cancelled) {
  COVEY_TRY(const auto local, data_of(work.job));
  StepReport last;
  COVEY_TRY(Trained trained, train(work, {.blobs = parts_.blobs,
                                          .local = *local,
                                          .client = parts_.client,
                                          .cancelled = &cancelled,
                                          .workspace = &workspace_,
                                          .clock = &parts_.clock,
                                          .limits = parts_.limits,
                                          .planned = [&](const TrainPlan& plan) { say(plan, work.job); },
                                          .stepped = [&](const StepReport& report) { last = report; },
                                          .damaged = [&](std::uint64_t records) { say_damage(records, work.job); },
                                          .begun_anew = [&](const Error& error) {
                                            if (parts_.log != nullptr)
                                              parts_.log->warning("data_begun_anew", {{"job", work.job.name}, {"reason", error.message}});
                                          }}));
  say(last, work);
  return WorkValue(std::move(trained));
}

void ClientWork::say_damage(std::uint64_t records, const JobSpec& job) {
  if (parts_.log == nullptr) return;
  parts_.log->warning("data_damaged", {{"job", job.name}, {"passed_over", records}, {"allowed", job.data.damaged_max}});
}

void ClientWork::say(const TrainPlan& plan, const JobSpec& job) {
  if (parts_.log == nullptr || plan_ == plan) return;
  plan_ = plan;
  parts_.log->info("training_planned", {{"job", job.name}, {"plan", to_text(plan)}, {"why", plan.why}});
}

// Of this site's data, so it is said here alone.
void ClientWork::say(const StepReport& last, const Train& work) {
  if (parts_.log == nullptr || !last.noise_scale) return;
  parts_.log->info("batch_adapted", {{"job", work.job.name}, {"round", work.offer.key.round}, {"steps", last.step},
                                     {"batch", last.batch}, {"noise_scale", *last.noise_scale}});
}

Result<WorkValue> ClientWork::run(const MaskUpdate& work, const std::atomic<bool>& cancelled) {
  if (maskers_ == nullptr && parts_.threads > 1) maskers_ = std::make_unique<WorkerPool>(parts_.threads);
  COVEY_TRY(const UpdateMasked masked, mask_update(work, {.blobs = parts_.blobs,
                                                          .client = parts_.client,
                                                          .cancelled = &cancelled,
                                                          .pool = maskers_.get()}));
  return WorkValue(masked);
}

Result<WorkValue> ClientWork::run(const PutBlob& work, const std::atomic<bool>&) {
  COVEY_TRY(const BlobRef blob, parts_.blobs.put(work.content));
  return WorkValue(BlobPut{blob});
}

template <class Other>
Result<WorkValue> ClientWork::run(const Other&, const std::atomic<bool>&) {
  COVEY_CHECK(!"the coordinator's work reached a client's executor");
  return unexpected(ErrorCode::kInternal, "");
}

}  // namespace covey
