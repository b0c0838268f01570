// While one lives, oneDNN works on the calling thread alone. Many clients run one per core, and
// oneDNN splits sums differently for different thread counts, so results would depend on them.
#pragma once
#include <omp.h>

namespace covey::cpu {

class SingleThread {
 public:
  SingleThread() : before_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~SingleThread() { omp_set_num_threads(before_); }
  SingleThread(const SingleThread&) = delete;
  SingleThread& operator=(const SingleThread&) = delete;

 private:
  int before_;  // the setting belongs to this thread only
};

}  // namespace covey::cpu
