#include "net/blob_io_pool.h"

#include <utility>

namespace covey {

void BlobIoPool::submit(const Digest& blob, std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    const auto [line, idle] = lines_.try_emplace(blob);
    line->second.push_back(std::move(task));
    if (!idle) return;
  }
  pool_.submit([this, blob] { work(blob); });
}

// One task, then back into the queue: blobs with much to do take turns with the others.
void BlobIoPool::work(const Digest& blob) {
  std::function<void()> task;
  {
    const std::lock_guard lock(mutex_);
    task = std::move(lines_.at(blob).front());
  }
  task();
  {
    const std::lock_guard lock(mutex_);
    const auto line = lines_.find(blob);
    line->second.pop_front();
    if (line->second.empty()) {
      lines_.erase(line);
      return;
    }
  }
  pool_.submit([this, blob] { work(blob); });
}

}  // namespace covey
