// How the allocator keeps what a long-lived process has freed.
#pragma once
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <thread>

namespace covey {

// One arena for all threads; call it before the first of them. By default glibc makes up to eight for each
// core, and every I/O thread that ever moved chunks holds on to its own megabytes. Measured on 64 updates of
// 40 MB: a peak of 100 instead of 106 MiB, and no more CPU.
void share_one_heap();

// Whether so much is resident and used by nobody that giving pages back is worth the walk through the
// allocator's lists. Judged by what the system says is resident: the allocator counts pages that it gave back as
// free, so from its figures one cannot see a burst that began and ended between two looks.
class TrimRule {
 public:
  explicit TrimRule(std::size_t step_bytes) : step_(step_bytes) {}
  // `resident` as the system counts it, `used` as the allocator does.
  bool due(std::size_t resident_bytes, std::size_t used_bytes);
  // After giving back: what is left has other reasons (code, stacks, parts of pages), and counts no more.
  void given_back(std::size_t resident_bytes, std::size_t used_bytes);

 private:
  std::size_t step_;
  std::int64_t least_ = std::numeric_limits<std::int64_t>::max();
};

// Gives whole free pages back to the system, every few seconds where a rule says so: one block that lives
// keeps what was freed below it, and a service that many have visited would seem to grow for ever.
class HeapKeeper {
 public:
  static constexpr std::chrono::milliseconds kEvery{2000};
  static constexpr std::size_t kStepBytes = 1U << 20U;
  explicit HeapKeeper(std::chrono::milliseconds every = kEvery, std::size_t step_bytes = kStepBytes);
  ~HeapKeeper();  // within one trim
  HeapKeeper(const HeapKeeper&) = delete;
  HeapKeeper& operator=(const HeapKeeper&) = delete;

 private:
  void keep(std::chrono::milliseconds every, TrimRule rule);

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace covey
