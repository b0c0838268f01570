// A process that meets a full disk, or whose own state is taken away, ends, and says where: whatever it was about to
// tell its peers would be a consequence of our disk, not of what they did. What it acknowledged is durable; with
// space again it starts and goes on.
#pragma once
#include <functional>
#include <string>

#include "core/protocol/machine.h"

namespace covey {

// Around any machine: an event that carries kDiskFull does not reach it, and answers with a line of
// the log (`disk_full`, with the path), the machine's Leave if a clean stop has one, and Halt{kExitNoSpace}.
// So does one of any other failure where `state` then finds that our own files are gone: `state_gone`, Halt{kExitCorrupted}.
class DiskGuard final : public Machine {
 public:
  using StateCheck = std::function<Result<void>()>;
  // `inner` outlives this. `otherwise`: what else can be done than to free space; may be empty. `state`: whether the
  // files are there that this process keeps; empty: nobody looks.
  explicit DiskGuard(Machine& inner, std::string otherwise = {}, StateCheck state = {})
      : inner_(inner), otherwise_(std::move(otherwise)), state_(std::move(state)) {}
  Commands handle(const Event& event, Instant now) override;

 private:
  Machine& inner_;
  Commands ended(WriteLog why, Halt halt, Instant now);
  std::string otherwise_;
  StateCheck state_;
  bool halted_ = false;
};

}  // namespace covey
