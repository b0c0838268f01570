#include "coordinator/work.h"

#include "aggregation/aggregator.h"
#include "core/nn/model.h"
#include "core/protocol/manifest.h"

namespace covey {
namespace {

Result<WorkValue> run(const InitModel& work, BlobStore& blobs) {
  const std::vector<float> parameters = initial_parameters(work.job.model, Random(work.job.seed).split("model"));
  COVEY_TRY(BlobRef model, write_model(blobs, work.job.model, 0, parameters));
  COVEY_TRY_VOID(blobs.put(bytes_of(public_toml(work.job))));  // what clients fetch as RoundOffer::config
  return WorkValue(ModelReady{model});
}

Result<WorkValue> run(const CheckUpdate& work, BlobStore& blobs) {
  COVEY_TRY(UpdateChecked checked, check_update(work, blobs));
  return WorkValue(checked);
}

Result<WorkValue> run(const Aggregate& work, BlobStore& blobs) {
  COVEY_TRY(Aggregated aggregated, aggregate(work, blobs));
  return WorkValue(std::move(aggregated));
}

template <class Other>
Result<WorkValue> run(const Other&, BlobStore&) {
  COVEY_CHECK(!"a client's work reached the coordinator's executor");
  return unexpected(ErrorCode::kInternal, "");
}

}  // namespace

Result<WorkValue> coordinator_work(const Work& work, BlobStore& blobs) {
  return std::visit([&](const auto& w) { return run(w, blobs); }, work);
}

}  // namespace covey
