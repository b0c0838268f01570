#include "core/service/signals.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "core/service/exit_code.h"

using namespace covey;

namespace {

volatile std::sig_atomic_t g_asked = 0;

// What a child process that gets SIGTERM twice ends with.
int end_of_two_stops(Duration same_request) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    g_asked = 0;
    const StopSignals signals([] { g_asked = g_asked + 1; }, same_request);
    ::raise(SIGTERM);
    ::raise(SIGTERM);
    ::_exit(StopSignals::interrupted() && g_asked == 1 ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(pid, &status, 0) == pid);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

}  // namespace

TEST_CASE("two signals at once are one request, as a supervisor sends it to process and group") {
  CHECK(end_of_two_stops(std::chrono::hours(1)) == 0);
}

TEST_CASE("a second signal after a while ends the process at once") {
  CHECK(end_of_two_stops(Duration{}) == kExitInterrupted);
}
