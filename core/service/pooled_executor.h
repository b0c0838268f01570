// The production Executor: durable writes in order on one thread, work on a fixed pool, whose threads
// the jobs take turns at: one with much to do does not hold up the others.
#pragma once
#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include "core/base/worker_pool.h"
#include "core/protocol/machine.h"
#include "core/store/store.h"

namespace covey {

// Computes one piece of work on the calling thread. `cancelled` may
// become true at any time.
using WorkFunction = std::function<Result<WorkValue>(const Work& work, const std::atomic<bool>& cancelled)>;

class PooledExecutor final : public Executor {
 public:
  PooledExecutor(Store& store, std::size_t threads, WorkFunction function);  // `store` outlives this
  ~PooledExecutor() override;  // cancels and waits

  void persist(Persist command, Completion done) override;
  void start(StartWork command, Completion done) override;
  void cancel(Ticket ticket) override;

 private:
  using Flag = std::shared_ptr<std::atomic<bool>>;  // shared: by the table here and the running task
  void forget(Ticket ticket);
  void run_next();

  Store& store_;
  WorkFunction function_;
  std::mutex mutex_;
  std::map<Ticket, Flag> running_;
  std::map<JobId, std::deque<std::function<void()>>> queued_;  // never an empty one; 0: of no job
  JobId served_ = 0;  // whose turn was last
  WorkerPool writer_;
  WorkerPool workers_;
};

}  // namespace covey
