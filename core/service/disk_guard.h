// A process that meets a full disk ends, and says where: whatever it was about to tell its peers
// would be a consequence of our disk, not of what they did. What it acknowledged is durable; with
// space again it starts and goes on.
#pragma once
#include "core/protocol/machine.h"

namespace covey {

// Around any machine: an event that carries kDiskFull does not reach it, and answers with a line of
// the log (`disk_full`, with the path) and Halt{kExitNoSpace}.
class DiskGuard final : public Machine {
 public:
  explicit DiskGuard(Machine& inner) : inner_(inner) {}  // `inner` outlives this
  Commands handle(const Event& event, Instant now) override;

 private:
  Machine& inner_;
  bool halted_ = false;
};

}  // namespace covey
