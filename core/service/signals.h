// SIGINT and SIGTERM ask for a clean stop; another, later than `same_request`, ends at once: a
// supervisor that signals both a process and its group sends one request twice. SIGPIPE is ignored.
#pragma once
#include <functional>

#include "core/base/time.h"

namespace covey {

// `on_stop` is called from the signal handler: it must be async-signal-safe. At most one at a time.
class StopSignals {
 public:
  explicit StopSignals(std::function<void()> on_stop,
                       Duration same_request = std::chrono::milliseconds(300));
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  static bool interrupted();  // one has come
};

}  // namespace covey
