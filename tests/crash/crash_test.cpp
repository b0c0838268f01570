// A slice of the harness for every build, and its whole as `slow`. It runs the program itself: a
// process that forks and kills should have no test framework's state in it.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

#include "tests/core/base/temporary_folder.h"

namespace covey::crash {
namespace {

struct Told {
  int code = -1;
  std::string text;
  std::map<std::string, double> figures;
};

Told covey_crash(const std::string& arguments) {
  const TemporaryFolder folder;
  const std::string command = std::string(COVEY_CRASH) + " " + arguments + " --folder '" + folder.path() + "/runs' 2>&1";
  std::FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  Told told;
  std::array<char, 4096> buffer{};
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr) {
    const std::string line = buffer.data();
    told.text += line;
    std::array<char, 64> name{};
    double value = 0;
    if (std::sscanf(line.c_str(), "figure %63s %lf", name.data(), &value) == 2) told.figures[name.data()] = value;
  }
  const int status = ::pclose(pipe);
  told.code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return told;
}

bool is_slow_run() { return std::getenv("COVEY_SLOW") != nullptr; }

}  // namespace

TEST_CASE("crash: a run at every point of both roles loses, doubles and forgets nothing") {
  const Told told = covey_crash("kill --seeds 1");
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("failed") == 0);
  CHECK(told.figures.at("points") >= 25);
  CHECK(told.figures.at("counted") > 0);
}

TEST_CASE("crash: the harness catches every deliberate defect") {
  const Told told = covey_crash("mutants --seeds 400");
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("caught") == told.figures.at("mutants"));
  CHECK(told.figures.at("mutants") >= 8);
  CHECK(told.figures.at("failed_without") == 0);
}

TEST_CASE("crash: every client message a hundred times counts once") {
  const Told told = covey_crash("replays --seeds 1");
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("replayed") >= 1000);
  CHECK(told.figures.at("counted") >= 6);
}

TEST_CASE("crash: another update under the same key is refused") {
  const Told told = covey_crash("changed --seeds 4");
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("changed") >= 20);
  CHECK(told.figures.at("changed_refused") == told.figures.at("changed"));
  CHECK(told.figures.at("conflicts_audited") >= 20);
}

TEST_CASE("crash: a client killed in any phase of a round counts once") {
  const Told told = covey_crash("phases --seeds 1");
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("phases") == 6);
  CHECK(told.figures.at("chunks_again_max") <= 8);
}

TEST_CASE("slow crash: 200 runs at every point" * doctest::skip(!is_slow_run())) {
  const Told told = covey_crash("kill --seeds 200");
  CHECK_MESSAGE(told.code == 0, told.text);
}

TEST_CASE("slow crash: twenty clients killed in each phase" * doctest::skip(!is_slow_run())) {
  const Told told = covey_crash("phases --seeds 20");
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("chunks_again_max") <= 8);
}

}  // namespace covey::crash
