// SIGINT and SIGTERM ask for a clean stop; another, 0.3 s later or more, ends at once. SIGPIPE is
// ignored.
#pragma once
#include <functional>

namespace covey {

// `on_stop` is called from the signal handler: it must be async-signal-safe. At most one at a time.
class StopSignals {
 public:
  explicit StopSignals(std::function<void()> on_stop);
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;
  static bool interrupted();  // one has come
};

}  // namespace covey
