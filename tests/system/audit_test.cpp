// `covey audit` against a real coordinator, live and from a file, and against one that was put back.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>
#include <sstream>

#include "tests/system/federation.h"

using namespace covey;
using namespace covey::system_test;

namespace {

namespace fs = std::filesystem;

nlohmann::json last_line(const Process& process) {
  std::istringstream in(process.out());
  std::string last;
  for (std::string line; std::getline(in, line);) last = line;
  return nlohmann::json::parse(last, nullptr, false);
}

std::size_t kinds(const Process& process, const std::string& kind) {
  std::istringstream in(process.out());
  std::size_t count = 0;
  for (std::string line; std::getline(in, line);) count += nlohmann::json::parse(line, nullptr, false).value("kind", "") == kind;
  return count;
}

}  // namespace

TEST_CASE("audit: the log of a job verifies live and from a file, and what was changed is found") {
  Federation federation(3);
  federation.start_all();
  const std::string early = federation.folder() + "/early.log", late = federation.folder() + "/late.log";
  REQUIRE(federation.covey({"audit", "--save", early}).code() == 0);
  const JobId job = federation.submit({.rounds = 3});
  REQUIRE(federation.await_end(job) == "job_finished");

  const Process& shown = federation.covey({"audit"});
  INFO(shown.out() << shown.errors());
  CHECK(shown.code() == 0);
  for (const char* word : {"started", "epoch 1", "enrolled", "token made", "job submitted", "round opened", "round frozen", "released",
                           "job ended", "site0", "Verified"})
    CHECK_MESSAGE(shown.says(word), word);
  const Process& lines = federation.covey({"audit", "--json", "--since", early, "--save", late});
  INFO(lines.errors());
  REQUIRE(lines.code() == 0);
  const nlohmann::json verified = last_line(lines);
  CHECK(verified.at("event") == "verified");
  CHECK(verified.at("ledger") == 4);  // three rounds and the evaluation
  CHECK(kinds(lines, "released") == 4);
  CHECK(kinds(lines, "round frozen") == 4);
  CHECK(federation.covey({"audit", "--job", "7"}).says("the log verifies and tells of no job 7"));
  const std::string kept = read_text(early);
  const Process& again = federation.covey({"audit", "--save", early});  // the earlier copy is what tells of a rollback
  CHECK(again.code() == 2);
  CHECK(again.says("--save " + early + " is there already"));
  CHECK(read_text(early) == kept);

  SUBCASE("offline") {
    federation.nursery().kill(federation.coordinator());
    CHECK(federation.covey({"audit", "--file", late}).code() == 0);
    CHECK(federation.covey({"audit", "--file", late, "--key", verified.at("record_key").get<std::string>()}).code() == 0);
    CHECK(federation.covey({"audit", "--file", late, "--since", early}).code() == 0);
    const Process& other_key = federation.covey({"audit", "--file", late, "--key", std::string(64, 'a')});
    CHECK(other_key.code() == 7);
    CHECK(other_key.says("wrong signature"));
    CHECK(federation.covey({"audit", "--file", late, "--key", "abc"}).code() == 2);
    const Process& rolled_back = federation.covey({"audit", "--file", early, "--since", late});
    CHECK(rolled_back.code() == 7);
    CHECK(rolled_back.says("was rolled back"));
    std::string bytes = read_text(late);
    bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
    write_text(late, bytes);
    const Process& changed = federation.covey({"audit", "--file", late});
    CHECK(changed.code() != 0);
    CHECK(changed.out().empty());
    write_text(late, "hello");
    CHECK(federation.covey({"audit", "--file", late}).code() == 2);
  }
}

TEST_CASE("audit: a coordinator that was put back to an older state is refused by its clients and found by --since") {
  Federation federation(2);
  federation.start_all();
  const std::string data = federation.home() + "/coordinator/data", copy = federation.folder() + "/copy";
  const auto stop = [&] {
    federation.coordinator().signal(SIGTERM);
    REQUIRE(federation.until([&] { return federation.coordinator().ended(); }));
  };
  stop();
  fs::copy(data, copy, fs::copy_options::recursive);
  const std::string mark = federation.home() + "/coordinator/ledger.mark";
  fs::copy_file(mark, copy + ".mark");
  federation.start_coordinator();
  REQUIRE(federation.until([&] { return federation.client(0).count("client_joined") == 2 && federation.client(1).count("client_joined") == 2; }));
  const std::string log = federation.folder() + "/log";
  REQUIRE(federation.covey({"audit", "--save", log}).code() == 0);
  stop();
  federation.start_coordinator();
  REQUIRE(federation.until([&] { return federation.client(0).count("client_joined") == 3 && federation.client(1).count("client_joined") == 3; }));
  stop();
  fs::remove_all(data);
  fs::copy(copy, data, fs::copy_options::recursive);  // epoch 1: its next start is 2, the clients have seen 3
  fs::copy_file(copy + ".mark", mark, fs::copy_options::overwrite_existing);  // the whole machine went back
  federation.start_coordinator();
  for (std::size_t client = 0; client < 2; ++client)
    REQUIRE(federation.until([&] { return federation.client(client).has("coordinator_rolled_back"); }));
  CHECK(federation.client(0).last("coordinator_rolled_back")->number("epoch") == 2);
  CHECK(federation.client(0).last("coordinator_rolled_back")->number("seen") == 3);
  const Process& since = federation.covey({"audit", "--since", log});
  CHECK(since.code() == 7);
  const bool found = since.says("was rewritten") || since.says("was rolled back");
  INFO(since.errors());
  CHECK(found);
  CHECK(federation.covey({"audit"}).code() == 0);  // in itself it is sound
  stop();
  federation.start_coordinator();  // 3: not older than what was seen
  REQUIRE(federation.until([&] { return federation.client(0).count("client_joined") == 4 && federation.client(1).count("client_joined") == 4; }, 60));
}
