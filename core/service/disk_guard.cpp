#include "core/service/disk_guard.h"

#include "core/service/exit_code.h"

namespace covey {
namespace {

const Error* error_of(const Event& event) {
  if (const auto* failed = std::get_if<WorkFailed>(&event)) return &failed->error;
  if (const auto* failed = std::get_if<BlobFailed>(&event)) return &failed->error;
  return nullptr;
}

}  // namespace

Commands DiskGuard::handle(const Event& event, Instant now) {
  if (halted_) return {};
  const Error* error = error_of(event);
  if (error == nullptr || error->code != ErrorCode::kDiskFull) return inner_.handle(event, now);
  halted_ = true;
  Commands commands{WriteLog{{LogLevel::kError, "disk_full", {{"reason", error->message}}}}};
  // Of a clean stop only the goodbye: nobody need wait for us until we are missed.
  for (Command& command : inner_.handle(ShutdownRequested{}, now))
    if (const auto* send = std::get_if<Send>(&command); send != nullptr && std::holds_alternative<Leave>(send->message))
      commands.push_back(std::move(command));
  const std::string remedy = "the disk is full; free some space and start again, nothing acknowledged is lost";
  commands.push_back(Halt{kExitNoSpace, remedy + (otherwise_.empty() ? "" : "; " + otherwise_)});
  return commands;
}

}  // namespace covey
