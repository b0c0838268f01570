#include "coordinator/cli/console.h"

#include <doctest/doctest.h>

#include <csignal>

#include <sys/wait.h>
#include <unistd.h>

using namespace covey::cli;

TEST_CASE("console: it notices when nobody reads what it prints any more") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {  // its own standard output, into a pipe that is closed at the other end after the first line
    ::signal(SIGPIPE, SIG_IGN);
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[1]);
    Console console(true);
    console.object(JsonObject().add("line", 1));
    const bool read = !console.unread();
    ::close(ends[0]);
    console.object(JsonObject().add("line", 2));
    ::_exit(read && console.unread() ? 0 : 1);
  }
  ::close(ends[0]);
  ::close(ends[1]);
  int status = -1;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}
