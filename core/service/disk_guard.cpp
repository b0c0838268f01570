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

Commands DiskGuard::ended(WriteLog why, Halt halt, Instant now) {
  halted_ = true;
  Commands commands{std::move(why)};
  // Of a clean stop only the goodbye: nobody need wait for us until we are missed.
  for (Command& command : inner_.handle(ShutdownRequested{}, now))
    if (const auto* send = std::get_if<Send>(&command); send != nullptr && std::holds_alternative<Leave>(send->message))
      commands.push_back(std::move(command));
  commands.push_back(std::move(halt));
  return commands;
}

Commands DiskGuard::handle(const Event& event, Instant now) {
  if (halted_) return {};
  const Error* error = error_of(event);
  if (error == nullptr) return inner_.handle(event, now);
  if (error->code == ErrorCode::kDiskFull) {
    const std::string remedy = "the disk is full; free some space and start again, nothing acknowledged is lost";
    return ended({{LogLevel::kError, "disk_full", {{"reason", error->message}}}},
                 {kExitNoSpace, remedy + (otherwise_.empty() ? "" : "; " + otherwise_)}, now);
  }
  if (const auto there = state_ ? state_() : Result<void>(); !there)
    return ended({{LogLevel::kError, "state_gone", {{"reason", there.error().message}}}},
                 {kExitCorrupted, there.error().message + "; put it back if it was moved or its disk is not mounted, and start again"}, now);
  return inner_.handle(event, now);
}

}  // namespace covey
