#include "core/base/worker_pool.h"

#include <exception>
#include <memory>
#include <system_error>
#include <utility>

#include "core/base/check.h"

namespace covey {

WorkerPool::WorkerPool(std::size_t threads) {
  COVEY_CHECK(threads >= 1);
  threads_.reserve(threads);
  try {
    for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
  } catch (...) {  // with fewer than asked for nobody would notice; and those there are wait for ever
    end();
    throw;
  }
}

WorkerPool::~WorkerPool() { end(); }

void WorkerPool::end() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  ready_.notify_all();
  threads_.clear();  // joins
}

void WorkerPool::submit(std::function<void()> task) {
  COVEY_CHECK(task != nullptr);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(task));
  }
  ready_.notify_one();
}

void WorkerPool::wait_idle() {
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return queue_.empty() && running_ == 0; });
}

void WorkerPool::share(std::size_t count, const std::function<void(std::size_t)>& part) {
  struct Shared {
    explicit Shared(std::size_t all, const std::function<void(std::size_t)>& each) : count(all), part(each) {}
    const std::size_t count;
    const std::function<void(std::size_t)>& part;  // used only before the last part is done
    std::mutex mutex;
    std::condition_variable ended;
    std::size_t next = 0;
    std::size_t done = 0;
    std::exception_ptr thrown;  // by the first part that threw
    void take_parts() {
      std::unique_lock lock(mutex);
      while (next < count) {
        const std::size_t index = next++;
        lock.unlock();
        std::exception_ptr failure;
        try {
          part(index);
        } catch (...) {
          failure = std::current_exception();
        }
        lock.lock();
        if (failure && !thrown) thrown = std::move(failure);
        if (++done == count) ended.notify_all();
      }
    }
  };
  const auto shared = std::make_shared<Shared>(count, part);  // shared: a task may come to run after the end
  for (std::size_t i = 1; i < count && i <= threads_.size(); ++i) submit([shared] { shared->take_parts(); });
  shared->take_parts();
  std::unique_lock lock(shared->mutex);
  shared->ended.wait(lock, [&] { return shared->done == count; });
  // Taken out: a task that outlives this call does not free what is being handled here.
  if (shared->thrown) std::rethrow_exception(std::exchange(shared->thrown, nullptr));
}

void WorkerPool::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    ready_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;  // stopping, and nothing is left
    {
      std::function<void()> task = std::move(queue_.front());
      queue_.pop_front();
      ++running_;
      lock.unlock();
      task();
    }  // what the task captured is gone before it counts as finished
    lock.lock();
    --running_;
    if (queue_.empty() && running_ == 0) idle_.notify_all();
  }
}

}  // namespace covey
