// Where the time comes from. State machines never see this: a driver hands them `now`.
#pragma once
#include "core/base/time.h"

namespace covey {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual Instant now() = 0;
};

// The wall clock at construction, advanced by the steady clock: within a process it never goes
// back, and a jump of the machine's wall clock moves no deadline.
class SystemClock final : public Clock {
 public:
  SystemClock();
  Instant now() override;

 private:
  std::int64_t offset_nanos_;
};

}  // namespace covey
