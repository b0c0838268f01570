// What the client's Executor computes.
#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "client/trainer.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/worker_pool.h"

namespace covey {

struct ClientWorkParts {     // everything outlives the work
  DataSource& source;
  BlobStore& blobs;
  Clock& clock;
  PeerKey client;
  std::size_t threads = 1;   // that train and mask an update
  TrainLimits limits{};      // of training
  Log* log = nullptr;        // may be null: told how a job is computed, when that changes
};

// PrepareData, Train, MaskUpdate and PutBlob; anything else is our bug. Keeps the data of the latest job loaded and one
// workspace, so one piece of work runs at a time; PutBlob alone goes beside it.
class ClientWork {
 public:
  explicit ClientWork(ClientWorkParts parts) : parts_(parts), workspace_(static_cast<int>(parts.threads)) {}
  Result<WorkValue> operator()(const Work& work, const std::atomic<bool>& cancelled);

 private:
  Result<WorkValue> run(const PrepareData& work, const std::atomic<bool>& cancelled);
  Result<WorkValue> run(const Train& work, const std::atomic<bool>& cancelled);
  Result<WorkValue> run(const MaskUpdate& work, const std::atomic<bool>& cancelled);
  Result<WorkValue> run(const PutBlob& work, const std::atomic<bool>& cancelled);
  template <class Other>
  Result<WorkValue> run(const Other&, const std::atomic<bool>&);
  void say(const TrainPlan& plan, const JobSpec& job);
  void say_damage(std::uint64_t records, const JobSpec& job);  // passed over by the steps of one round
  void say(const StepReport& last, const Train& work);
  Result<std::shared_ptr<const LocalData>> data_of(const JobSpec& job);

  ClientWorkParts parts_;
  std::mutex mutex_;                          // one at a time, whatever the executor's threads
  std::string loaded_;                        // public_toml of the job whose data is loaded
  std::shared_ptr<const LocalData> local_;    // shared: with the work in progress, should the job change
  TrainWorkspace workspace_;
  std::optional<TrainPlan> plan_;             // as it was logged last
  std::unique_ptr<WorkerPool> maskers_;       // made when it is first needed
};

}  // namespace covey
