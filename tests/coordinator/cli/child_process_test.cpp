#include "coordinator/cli/child_process.h"

#include <doctest/doctest.h>
#include <signal.h>

#include <cerrno>
#include <fstream>
#include <iterator>

#include "tests/core/base/temporary_folder.h"

using namespace covey;
using namespace covey::cli;

TEST_CASE("child process: its output is in the log and its end is told in words") {
  const TemporaryFolder folder;
  auto child = ChildProcess::start({{"/bin/sh", "-c", "echo hello; exec sleep 600"}, folder / "log"});
  REQUIRE(child);
  CHECK_FALSE(child->ended());
  CHECK(::kill(child->pid(), 0) == 0);
  child->stop();
  CHECK(child->ended() == "signal 15");
  CHECK((::kill(child->pid(), 0) == -1 && errno == ESRCH));
}

TEST_CASE("child process: destruction ends it") {
  const TemporaryFolder folder;
  pid_t pid = 0;
  {
    auto child = ChildProcess::start({{"/bin/sh", "-c", "exec sleep 600"}, folder / "log"});
    REQUIRE(child);
    pid = child->pid();
  }
  CHECK((::kill(pid, 0) == -1 && errno == ESRCH));
}

TEST_CASE("child process: a program that is not there is refused before anything starts") {
  const TemporaryFolder folder;
  const auto child = ChildProcess::start({{folder / "nothing"}, folder / "log"});
  REQUIRE_FALSE(child);
  CHECK(child.error().code == ErrorCode::kNotFound);
  CHECK(child.error().message.find("nothing") != std::string::npos);
}
