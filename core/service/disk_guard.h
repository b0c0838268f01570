// A process that meets a full disk ends, and says where: whatever it was about to tell its peers
// would be a consequence of our disk, not of what they did. What it acknowledged is durable; with
// space again it starts and goes on.
#pragma once
#include <string>

#include "core/protocol/machine.h"

namespace covey {

// Around any machine: an event that carries kDiskFull does not reach it, and answers with a line of
// the log (`disk_full`, with the path), the machine's Leave if a clean stop has one, and Halt{kExitNoSpace}.
class DiskGuard final : public Machine {
 public:
  // `inner` outlives this. `otherwise`: what else can be done than to free space; may be empty.
  explicit DiskGuard(Machine& inner, std::string otherwise = {}) : inner_(inner), otherwise_(std::move(otherwise)) {}
  Commands handle(const Event& event, Instant now) override;

 private:
  Machine& inner_;
  std::string otherwise_;
  bool halted_ = false;
};

}  // namespace covey
