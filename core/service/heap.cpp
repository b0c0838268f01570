#include "core/service/heap.h"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <optional>

#include "core/base/check.h"

namespace covey {

namespace {

// Below zero where more was allocated than has been touched.
std::int64_t idle_bytes(std::size_t resident_bytes, std::size_t used_bytes) {
  return static_cast<std::int64_t>(resident_bytes) - static_cast<std::int64_t>(used_bytes);
}

#ifdef __GLIBC__
std::size_t used_bytes() {
  const auto heap = ::mallinfo2();
  return heap.uordblks + heap.hblkhd;
}

// Nothing where the process has no free descriptor: then there is a next time.
std::optional<std::size_t> resident_bytes() {
  std::ifstream pages("/proc/self/statm");
  std::size_t all = 0, resident = 0;
  if (!(pages >> all >> resident)) return std::nullopt;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

void give_back(TrimRule& rule) {
  ::malloc_trim(0);
  if (const auto left = resident_bytes()) rule.given_back(*left, used_bytes());
}
#endif

TrimRule begun(std::size_t step_bytes) {
  TrimRule rule(step_bytes);
#ifdef __GLIBC__
  give_back(rule);
#endif
  return rule;
}

}  // namespace

void share_one_heap() {
#ifdef M_ARENA_MAX
  COVEY_CHECK(::mallopt(M_ARENA_MAX, 1) == 1);
#endif
}

bool TrimRule::due(std::size_t resident_bytes, std::size_t used_bytes) {
  const std::int64_t idle = idle_bytes(resident_bytes, used_bytes);
  least_ = std::min(least_, idle);
  return idle - least_ >= static_cast<std::int64_t>(step_);
}

void TrimRule::given_back(std::size_t resident_bytes, std::size_t used_bytes) {
  least_ = idle_bytes(resident_bytes, used_bytes);
}

HeapKeeper::HeapKeeper(std::chrono::milliseconds every, std::size_t step_bytes)
    : thread_([this, every, rule = begun(step_bytes)] { keep(every, rule); }) {}

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
  while (!changed_.wait_for(lock, every, [this] { return stopping_; })) {
    const auto resident = resident_bytes();
    if (resident && rule.due(*resident, used_bytes())) give_back(rule);
  }
#endif
}

}  // namespace covey
