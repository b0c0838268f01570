#include "core/service/pooled_executor.h"

#include "core/base/fault_point.h"
#include "core/base/thrown.h"

namespace covey {
namespace {

JobId job_of(const Work& work) {
  if (const auto* check = std::get_if<CheckUpdate>(&work); check != nullptr) return check->job;
  if (const auto* aggregate = std::get_if<Aggregate>(&work); aggregate != nullptr) return aggregate->key.job;
  return 0;
}

}  // namespace

PooledExecutor::PooledExecutor(Store& store, std::size_t threads, WorkFunction function)
    : store_(store), function_(std::move(function)), writer_(1), workers_(threads) {}

PooledExecutor::~PooledExecutor() {
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [ticket, flag] : running_) *flag = true;
  }
  workers_.wait_idle();
  writer_.wait_idle();
}

void PooledExecutor::persist(Persist command, Completion done) {
  writer_.submit([this, command = std::move(command), done = std::move(done)] {
    fault_point("executor.persist.begin");
    if (const auto written = caught([&] { return store_.write(command.batch); }); written) {
      fault_point("executor.persist.written");
      done(Persisted{command.ticket});
      fault_point("executor.persist.told");
    } else {
      done(WorkFailed{command.ticket, written.error()});
    }
  });
}

void PooledExecutor::start(StartWork command, Completion done) {
  auto flag = std::make_shared<std::atomic<bool>>(false);
  const JobId job = job_of(command.work);
  const Ticket ticket = command.ticket;
  auto task = [this, flag, command = std::move(command), done = std::move(done)] {
    fault_point("executor.work.begin");
    if (*flag) {  // cancelled before its turn came
      forget(command.ticket);
      return done(WorkFailed{command.ticket, Error{ErrorCode::kUnavailable, "cancelled"}});
    }
    // Libraries throw (out of memory first of all); a machine hears of it as failed work.
    auto result = caught([&] { return function_(command.work, *flag); });
    fault_point("executor.work.computed");
    forget(command.ticket);
    if (result) {
      done(WorkDone{command.ticket, std::move(*result)});
      fault_point("executor.work.told");
    } else {
      done(WorkFailed{command.ticket, result.error()});
    }
  };
  {
    const std::lock_guard lock(mutex_);
    running_[ticket] = flag;
    queued_[job].push_back(std::move(task));
  }
  workers_.submit([this] { run_next(); });
}

// As many calls as tasks. The next job after the one served last, in a circle.
void PooledExecutor::run_next() {
  std::function<void()> task;
  {
    const std::lock_guard lock(mutex_);
    auto turn = queued_.upper_bound(served_);
    if (turn == queued_.end()) turn = queued_.begin();
    COVEY_CHECK(turn != queued_.end());
    served_ = turn->first;
    task = std::move(turn->second.front());
    turn->second.pop_front();
    if (turn->second.empty()) queued_.erase(turn);
  }
  task();
}

void PooledExecutor::cancel(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  if (const auto it = running_.find(ticket); it != running_.end()) *it->second = true;
}

void PooledExecutor::forget(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  running_.erase(ticket);
}

}  // namespace covey
