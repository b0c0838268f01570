// Does BlobTransfer's work on the store: hashing, writing and syncing never hold up the thread that
// owns the sockets. The work of one blob is done in order, that of different blobs side by side.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <mutex>

#include "core/base/bytes.h"
#include "core/base/worker_pool.h"

namespace covey {

class BlobIoPool {
 public:
  explicit BlobIoPool(std::size_t threads) : pool_(threads) {}  // its end waits for all that was submitted

  // Bounded by what its callers have under way: a transfer submits no more than its chunks_max and a
  // few pieces for each blob.
  void submit(const Digest& blob, std::function<void()> task);

 private:
  void work(const Digest& blob);

  std::mutex mutex_;
  std::map<Digest, std::deque<std::function<void()>>> lines_;  // there while one of its tasks runs
  WorkerPool pool_;  // last: its threads end before what they use
};

}  // namespace covey
