// Where the time comes from. State machines never see this: a driver hands them `now`.
#pragma once
#include <functional>

#include "core/base/time.h"

namespace covey {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() = 0;
};

// The wall clock at construction, advanced by the time that passes: within a process it never goes
// back, and a jump of the machine's wall clock moves no deadline, lease or budget. Time passes while
// the machine is suspended, too, or a laptop's site hours would be judged by yesterday's clock.
class SystemClock final : public Clock {
 public:
  struct Sources {
    std::function<Instant()> wall;     // may jump
    std::function<Duration()> passed;  // since anything; never goes back
  };
  SystemClock();
  explicit SystemClock(Sources sources);
  Instant now() override;

 private:
  Sources sources_;
  Instant begin_;  // when nothing had passed
};

}  // namespace covey
