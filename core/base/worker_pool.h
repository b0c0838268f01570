// A fixed number of threads over a queue. State machines never touch it; drivers do.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace covey {

class WorkerPool {
 public:
  explicit WorkerPool(std::size_t threads);  // at least 1; throws std::system_error where the system refuses one
  ~WorkerPool();                             // finishes what is queued, then joins
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  void submit(std::function<void()> task);  // a task must not throw
  void wait_idle();                         // until nothing is queued or running
  // part(0) ... part(count - 1) on the calling thread and on those of the pool that are free; returns
  // when all are done, and throws what the first of them threw. Waits for nothing that has not begun, so tasks of this pool may call it.
  void share(std::size_t count, const std::function<void(std::size_t)>& part);
  std::size_t size() const { return threads_.size(); }

 private:
  void work();
  void end();
  std::mutex mutex_;
  std::condition_variable ready_;
  std::condition_variable idle_;
  std::deque<std::function<void()>> queue_;
  std::size_t running_ = 0;
  bool stopping_ = false;
  std::vector<std::jthread> threads_;
};

}  // namespace covey
