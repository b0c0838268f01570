// Threads for the short work of a state machine's thread that many can share: none before the first such work, for most
// processes never have any.
#pragma once
#include <cstddef>
#include <functional>
#include <memory>

#include "core/base/worker_pool.h"

namespace covey {

class SpareThreads {  // used by one thread at a time
 public:
  // The calling thread is one of them; with 1 there are no others.
  explicit SpareThreads(std::size_t threads) : others_(threads > 1 ? threads - 1 : 0) {}

  // part(0) ... part(count - 1), each once; returns when all are done. See WorkerPool::share.
  void share(std::size_t count, const std::function<void(std::size_t)>& part) {
    if (others_ == 0 || count < 2) {
      for (std::size_t i = 0; i < count; ++i) part(i);
      return;
    }
    if (pool_ == nullptr) pool_ = std::make_unique<WorkerPool>(others_);
    pool_->share(count, part);
  }

 private:
  std::size_t others_;
  std::unique_ptr<WorkerPool> pool_;
};

}  // namespace covey
