// Runs a piece of a test in a child process: for what ends a process, or needs a second one.
#pragma once
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/check.h"

namespace covey {

struct ChildOutcome {
  int exit_code = -1;  // -1: ended by a signal
  int signal = 0;
};

// `body` returns the exit code.
template <class Body>
ChildOutcome in_child_process(Body body) {
  const pid_t child = ::fork();
  COVEY_CHECK(child >= 0);
  if (child == 0) ::_exit(body());
  int status = 0;
  COVEY_CHECK(::waitpid(child, &status, 0) == child);
  if (WIFEXITED(status)) return {WEXITSTATUS(status), 0};
  return {-1, WTERMSIG(status)};
}

}  // namespace covey
