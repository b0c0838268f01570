// What a service tells the supervisor that started it (systemd, or anything that sets NOTIFY_SOCKET).
// The protocol is one datagram per message (man sd_notify). libsystemd would do it, and would bring
// four compression libraries into a daemon that faces the network.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "core/protocol/machine.h"

namespace covey {

class Supervisor {
 public:
  // From NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, which children then no longer see. Without
  // them every call does nothing.
  static Supervisor from_environment();
  Supervisor(std::string address, Duration watchdog);  // an empty address: nobody listens

  void ready(std::string_view status) const;     // Type=notify: the service serves from here on
  void stopping(std::string_view status) const;
  void alive() const;                            // feeds the watchdog

  bool present() const { return !address_.empty(); }
  Duration watchdog() const { return watchdog_; }  // zero: none

 private:
  void tell(const std::string& text) const;
  std::string address_;
  Duration watchdog_{};
};

// Feeds the watchdog as long as the machine behind it is given events, which its own timers see to:
// a driver's thread that hangs is a service that hangs.
class WatchedMachine final : public Machine {
 public:
  WatchedMachine(Machine& machine, const Supervisor& supervisor, Clock& clock)  // all outlive this
      : machine_(machine), supervisor_(supervisor), clock_(clock) {}
  Commands handle(const Event& event, Instant now) override;

 private:
  Machine& machine_;
  const Supervisor& supervisor_;
  Clock& clock_;
  Instant fed_;
};

}  // namespace covey
