#include "core/service/supervisor.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "core/base/file.h"

using namespace covey;

namespace {

// The supervisor's end, in the abstract namespace.
class Listener {
 public:
  Listener() : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    REQUIRE(::bind(socket_.number(), reinterpret_cast<sockaddr*>(&at), sizeof at.sun_family) == 0);
    socklen_t size = sizeof at;
    REQUIRE(::getsockname(socket_.number(), reinterpret_cast<sockaddr*>(&at), &size) == 0);
    name_ = "@" + std::string(at.sun_path + 1, size - sizeof at.sun_family - 1);
  }
  const std::string& name() const { return name_; }
  std::string next() {  // "" when nothing has come
    char text[512];
    const ssize_t size = ::recv(socket_.number(), text, sizeof text, 0);
    return size < 0 ? "" : std::string(text, static_cast<std::size_t>(size));
  }

 private:
  FileDescriptor socket_;
  std::string name_;
};

struct QuietMachine final : Machine {
  Commands handle(const Event&, Instant) override { return {}; }
};

struct HandClock final : Clock {
  Instant time = instant_of_nanos(0);
  Instant now() override { return time; }
};

}  // namespace

TEST_CASE("a supervisor hears that the service is ready, and that it stops") {
  Listener listener;
  const Supervisor supervisor(listener.name(), {});
  supervisor.ready("serving\non two ports");
  CHECK(listener.next() == "READY=1\nSTATUS=serving on two ports");
  supervisor.stopping("bye");
  CHECK(listener.next() == "STOPPING=1\nSTATUS=bye");
  CHECK(listener.next() == "");
}

TEST_CASE("the environment names the supervisor once: what it starts does not inherit it") {
  Listener listener;
  ::setenv("NOTIFY_SOCKET", listener.name().c_str(), 1);
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  const Supervisor supervisor = Supervisor::from_environment();
  CHECK(supervisor.present());
  CHECK(supervisor.watchdog() == std::chrono::seconds(30));
  CHECK(std::getenv("NOTIFY_SOCKET") == nullptr);
  CHECK_FALSE(Supervisor::from_environment().present());
}

TEST_CASE("a watchdog of another process, or one that is not a number, is none") {
  ::setenv("WATCHDOG_USEC", "30000000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  CHECK(Supervisor::from_environment().watchdog() == Duration{});
  ::setenv("WATCHDOG_USEC", "soon", 1);
  CHECK(Supervisor::from_environment().watchdog() == Duration{});
}

TEST_CASE("a machine that is given events feeds the watchdog, four times in its span at most") {
  Listener listener;
  const Supervisor supervisor(listener.name(), std::chrono::seconds(20));
  QuietMachine machine;
  HandClock clock;
  WatchedMachine watched(machine, supervisor, clock);
  clock.time += std::chrono::seconds(5);
  watched.handle(Started{}, clock.time);
  CHECK(listener.next() == "WATCHDOG=1");
  clock.time += std::chrono::seconds(1);
  watched.handle(TimerFired{"tick"}, clock.time);
  CHECK(listener.next() == "");
  clock.time += std::chrono::seconds(4);
  watched.handle(TimerFired{"tick"}, clock.time);
  CHECK(listener.next() == "WATCHDOG=1");
  clock.time -= std::chrono::hours(24);  // the wall clock was set back
  watched.handle(TimerFired{"tick"}, clock.time);
  CHECK(listener.next() == "WATCHDOG=1");
  watched.handle(ShutdownRequested{}, clock.time);
  CHECK(listener.next().starts_with("STOPPING=1"));
}
