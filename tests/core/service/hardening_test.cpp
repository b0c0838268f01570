#include "core/service/hardening.h"

#include <doctest/doctest.h>

#include <sys/prctl.h>
#include <sys/resource.h>

#include <array>
#include <csignal>
#include <string>

#include "tests/core/base/child_process.h"

using namespace covey;

TEST_CASE("hardening: a process that forbade core dumps leaves none, and cannot allow them again") {
  const auto child = in_child_process([] {
    if (!forbid_core_dumps()) return 1;
    rlimit limit{1, 1};
    if (::getrlimit(RLIMIT_CORE, &limit) != 0 || limit.rlim_cur != 0 || limit.rlim_max != 0) return 2;
    return ::prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : 3;
  });
  CHECK(child.exit_code == 0);
  const pid_t dying = ::fork();
  REQUIRE(dying >= 0);
  if (dying == 0) {
    if (!forbid_core_dumps()) ::_exit(1);
    std::signal(SIGABRT, SIG_DFL);
    ::raise(SIGABRT);
    ::_exit(2);
  }
  int status = 0;
  REQUIRE(::waitpid(dying, &status, 0) == dying);
  REQUIRE(WIFSIGNALED(status));
  CHECK_FALSE(WCOREDUMP(status));
}

TEST_CASE("hardening: a secret in the arguments is overwritten, a file's name is not") {
  std::array<std::string, 7> words{"covey-client", "--token", "secret", "--token=other", "--tokens", "keep", "--token"};
  std::array<char*, 7> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = words[i].data();
  hide_argument(7, arguments.data(), "--token");
  CHECK(words[2] == "xxxxxx");
  CHECK(words[3] == "--token=xxxxx");
  CHECK(words[5] == "keep");
  std::array<std::string, 3> file{"covey-client", "--token", "@site.token"};
  std::array<char*, 3> named{file[0].data(), file[1].data(), file[2].data()};
  hide_argument(3, named.data(), "--token");
  CHECK(file[2] == "@site.token");
}
