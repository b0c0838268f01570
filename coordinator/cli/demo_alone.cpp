#include "coordinator/cli/demo_alone.h"

#include <atomic>

#include "coordinator/cli/demo_training.h"
#include "core/base/check.h"
#include "core/base/worker_pool.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"

namespace covey::cli {
namespace {

Result<std::vector<float>> train_one(const AloneTrainings& request, const PeerKey& client,
                                     const LocalData& data, const std::atomic<bool>& cancelled) {
  MemoryBlobs blobs;
  COVEY_TRY(const BlobRef start, initial_model(request.job, blobs));
  COVEY_TRY(const BlobRef model, train_alone({request.job, start, client, &cancelled}, data, blobs));
  COVEY_TRY(StoredModel stored, read_model(blobs, model.id));
  return std::move(stored.parameters);
}

}  // namespace

Result<std::vector<std::vector<float>>> train_all_alone(const AloneTrainings& request,
                                                        const std::vector<LocalData>& data,
                                                        Console& console) {
  COVEY_CHECK(request.keys.size() == data.size());
  std::vector<Result<std::vector<float>>> models(data.size(),
                                                 Result<std::vector<float>>(std::vector<float>()));
  std::atomic<bool> cancelled = false;
  std::atomic<std::size_t> done = 0;
  {
    WorkerPool pool(data.size());
    for (std::size_t i = 0; i < data.size(); ++i)
      pool.submit([&, i] {
        models[i] = train_one(request, request.keys[i], data[i], cancelled);
        ++done;
      });
    SystemClock clock;
    const Instant begin = clock.now();
    while (done < data.size()) {
      const double passed = seconds(clock.now() - begin);
      console.progress(bar_text(passed / request.seconds_expected, 20) + " " + std::to_string(data.size()) +
                       " models alone: " + duration_text(passed) + " of about " +
                       duration_text(request.seconds_expected));
      if (!wait_or_interrupt(0.2)) cancelled = true;
      if (cancelled) break;  // the pool waits for the threads, which look at `cancelled` after each step
    }
  }
  console.progress("");
  std::vector<std::vector<float>> all;
  for (auto& model : models) {
    if (!model) return unexpected(model.error());
    all.push_back(std::move(*model));
  }
  return all;
}

std::vector<float> initial_parameters_of(const JobSpec& job) {
  MemoryBlobs blobs;
  const auto model = initial_model(job, blobs);
  COVEY_CHECK(model.has_value());
  auto stored = read_model(blobs, model->id);
  COVEY_CHECK(stored.has_value());
  return std::move(stored->parameters);
}

}  // namespace covey::cli
