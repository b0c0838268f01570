#include "core/service/supervisor.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "core/base/file.h"

namespace covey {
namespace {

std::string taken_from_environment(const char* name) {
  const char* value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

std::int64_t number_from(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? number : 0;
}

std::string one_line(std::string_view text) {
  std::string line(text);
  for (char& c : line)
    if (c == '\n') c = ' ';
  return line;
}

}  // namespace

Supervisor Supervisor::from_environment() {
  const std::string address = taken_from_environment("NOTIFY_SOCKET");
  const std::int64_t micros = number_from(taken_from_environment("WATCHDOG_USEC"));
  const std::string pid = taken_from_environment("WATCHDOG_PID");
  const bool ours = pid.empty() || number_from(pid) == ::getpid();
  return Supervisor(address, ours && micros > 0 ? Duration(std::chrono::microseconds(micros)) : Duration{});
}

Supervisor::Supervisor(std::string address, Duration watchdog)
    : address_(std::move(address)), watchdog_(watchdog) {}

void Supervisor::tell(const std::string& text) const {
  sockaddr_un to{};
  if (address_.empty() || address_.size() >= sizeof to.sun_path) return;
  to.sun_family = AF_UNIX;
  std::memcpy(to.sun_path, address_.data(), address_.size());
  if (to.sun_path[0] == '@') to.sun_path[0] = '\0';  // the abstract namespace
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + address_.size());
  const FileDescriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (socket.number() < 0) return;
  // A supervisor that does not listen is its own loss.
  (void)::sendto(socket.number(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                 reinterpret_cast<const sockaddr*>(&to), size);
}

void Supervisor::ready(std::string_view status) const { tell("READY=1\nSTATUS=" + one_line(status)); }
void Supervisor::stopping(std::string_view status) const { tell("STOPPING=1\nSTATUS=" + one_line(status)); }
void Supervisor::alive() const { tell("WATCHDOG=1"); }

Commands WatchedMachine::handle(const Event& event, Instant now) {
  Commands commands = machine_.handle(event, now);
  if (std::holds_alternative<ShutdownRequested>(event)) supervisor_.stopping("stopping; what was under way is kept");
  const Instant moment = clock_.now();
  if (supervisor_.watchdog() > Duration{} && (moment < fed_ || moment - fed_ >= supervisor_.watchdog() / 4)) {
    supervisor_.alive();
    fed_ = moment;
  }
  return commands;
}

}  // namespace covey
