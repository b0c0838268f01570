#include "core/service/heap.h"

#include <malloc.h>

#include <algorithm>

#include "core/base/check.h"

namespace covey {

void share_one_heap() {
#ifdef M_ARENA_MAX
  COVEY_CHECK(::mallopt(M_ARENA_MAX, 1) == 1);
#endif
}

bool TrimRule::due(std::size_t free_bytes) {
  least_ = std::min(least_, free_bytes);
  if (free_bytes - least_ < step_) return false;
  least_ = free_bytes;
  return true;
}

HeapKeeper::HeapKeeper(std::chrono::milliseconds every, std::size_t step_bytes)
    : thread_([this, every, step_bytes] { keep(every, TrimRule(step_bytes)); }) {}

HeapKeeper::~HeapKeeper() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void HeapKeeper::keep([[maybe_unused]] std::chrono::milliseconds every, [[maybe_unused]] TrimRule rule) {
#ifdef __GLIBC__
  std::unique_lock lock(mutex_);
  while (!changed_.wait_for(lock, every, [this] { return stopping_; }))
    if (rule.due(::mallinfo2().fordblks)) ::malloc_trim(0);
#endif
}

}  // namespace covey
