// When a dialler that lost its coordinator, or did not reach it, dials again: never all at once, and
// ever more rarely. Pure.
#pragma once
#include <algorithm>

#include "core/base/random.h"
#include "core/base/time.h"
#include "core/protocol/limits.h"

namespace covey {

class ReconnectPace {
 public:
  static constexpr Duration kFirst = std::chrono::milliseconds(500);
  static constexpr Duration kMost = std::chrono::seconds(60);

  explicit ReconnectPace(std::uint64_t seed) : random_(seed) {}

  // What the coordinator named when we joined it.
  void set_window(Duration window) { window_ = std::clamp(window, Duration::zero(), kReconnectWindowMax); }
  Duration window() const { return window_; }
  void connected() { failures_ = 0; }

  // The link broke: a moment drawn from the whole window.
  Duration after_loss() { return std::chrono::duration_cast<Duration>(window_ * random_.uniform()); }
  // A dial failed: between half the backoff and all of it, 0.5 s doubled with each failure up to 60 s.
  Duration after_failure() {
    const Duration backoff = std::min<Duration>(kFirst * (1 << std::min(failures_, 7)), kMost);
    ++failures_;
    return std::chrono::duration_cast<Duration>(backoff * (0.5 + 0.5 * random_.uniform()));
  }

 private:
  Random random_;
  Duration window_ = std::chrono::milliseconds(200);  // until a coordinator named another
  int failures_ = 0;
};

}  // namespace covey
