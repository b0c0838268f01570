// A slice of the harness for every build, and its whole as `slow`. It runs the program itself: a
// process that forks and kills should have no test framework's state in it.
#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
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

enum class Files { kDisk, kMemory };  // kMemory: where the system has such a file system

Told covey_crash(const std::string& arguments, Files files = Files::kDisk) {
  const TemporaryFolder folder;
  const bool in_memory = files == Files::kMemory && std::filesystem::is_directory("/dev/shm");
  const std::string runs = in_memory ? "/dev/shm/" + std::filesystem::path(folder.path()).filename().string() : folder / "runs";
  const std::string command = std::string(COVEY_CRASH) + " " + arguments + " --folder '" + runs + "' 2>&1";
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

// The steps of the release ledger: its record goes into the batch of the freeze, before anything is computed from the
// updates. The judge holds against each run: records only grow and keep their hashes, one for each attempt, and nothing
// was released without its own. Charges only add up (tests/privacy/dp_charge_test.cpp), so epsilon does not fall either.
// A chain that was tampered with: tests/coordinator/record_test.cpp; one cut short: tests/coordinator/service/.
TEST_CASE("crash: kill -9 at each ledger step: the ledger never shrinks, no release without its record") {
  std::string points;
  for (const char* point : {"executor.persist.begin", "store.write.begin", "store.write.built", "store.write.end",
                            "executor.persist.written", "executor.persist.told"})
    points += std::string(" --point ") + point;
  const Told told = covey_crash("kill --victim coordinator --seeds 20" + points, Files::kMemory);
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("failed") == 0);
  CHECK(told.figures.at("points") == 6);
  CHECK(told.figures.at("kills") >= 120);
  CHECK(told.figures.at("ledger_records") > 0);
}

TEST_CASE("crash: either role killed under secure aggregation loses, doubles and reveals nothing") {
  const Told told = covey_crash("kill --jobs secure --seeds 1", Files::kMemory);
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("failed") == 0);
  CHECK(told.figures.at("points_secure") >= 80);
  CHECK(told.figures.at("counted") > 0);
}

TEST_CASE("crash: jobs whose updates hold adapters alone lose and double nothing either") {
  const Told told = covey_crash("kill --adapters --seeds 1", Files::kMemory);
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("failed") == 0);
  CHECK(told.figures.at("points_plain") >= 25);
  CHECK(told.figures.at("points_secure") >= 80);
  CHECK(told.figures.at("counted") > 0);
}

// Its members are bound to an attempt that is over: the round ends without them, under an attempt of its own.
TEST_CASE("crash: a round that is consumed after a restart has one end in the audit log") {
  for (const std::string plan : {"--seed 98 --kill 'driver.reveal.received:18' --kill '*:6'", "--seed 183 --kill 'driver.outcome.sent:6' --kill '*:29'"}) {
    const Told told = covey_crash("--seeds 3 one --secure --victim coordinator " + plan, Files::kMemory);
    CHECK_MESSAGE(told.code == 0, told.text);
    CHECK(told.figures.at("kills") == 6);
  }
}

TEST_CASE("crash: the harness catches every deliberate defect") {
  const Told told = covey_crash("mutants --seeds 1000", Files::kMemory);
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("caught") == told.figures.at("mutants"));
  CHECK(told.figures.at("mutants") >= 12);
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
  const Told told = covey_crash("phases --seeds 1", Files::kMemory);
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("phases") == 6);
  CHECK(told.figures.at("chunks_again_max") <= 8);
}

TEST_CASE("slow crash: 200 runs at every point" * doctest::skip(!is_slow_run())) {
  const Told told = covey_crash("kill --seeds 200", Files::kMemory);
  CHECK_MESSAGE(told.code == 0, told.text);
}

TEST_CASE("slow crash: twenty clients killed in each phase" * doctest::skip(!is_slow_run())) {
  const Told told = covey_crash("phases --seeds 20", Files::kMemory);
  CHECK_MESSAGE(told.code == 0, told.text);
  CHECK(told.figures.at("chunks_again_max") <= 8);
}

}  // namespace covey::crash
