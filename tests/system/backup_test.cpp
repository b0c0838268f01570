// Backup and restore with the real programs, while a round is in progress.
#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>

#include "coordinator/service/backup_manifest.h"
#include "core/base/file.h"
#include "tests/system/federation.h"
#include "tests/system/figure_line.h"

using namespace covey;
using namespace covey::system_test;
namespace fs = std::filesystem;

namespace {

struct Seen {  // what an operator is told of a job
  JobSummary summary;
  std::vector<RoundMetrics> rounds;
  bool operator==(const Seen&) const = default;
};

Seen seen(const Federation& federation, JobId job) {
  Desk desk(federation.home());
  const auto answer = desk.ask(ShowJob{job, 0});
  INFO((answer ? std::string() : answer.error().message));
  REQUIRE(answer);
  const auto& detail = std::get<JobDetail>(*answer);
  return {detail.summary, detail.metrics};
}

std::string pulled(Federation& federation, JobId job, const std::string& to) {
  const Process& pull = federation.covey({"pull", std::to_string(job), "-o", federation.folder() + "/" + to});
  INFO(pull.errors());
  REQUIRE(pull.code() == 0);
  return read_text(federation.folder() + "/" + to + "/model.safetensors");
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

void backup(Federation& federation, const std::string& to) {
  const Process& made = federation.covey({"backup", to});
  INFO(made.errors());
  REQUIRE(made.code() == 0);
}

// Ended with its durable state refused.
bool refused_at_start(Federation& federation) {
  Process& process = federation.nursery().run(federation.coordinator_launch());
  return process.code() == 7 && process.says("covey restore");
}

}  // namespace

TEST_CASE("backup: restored equal, a stale store is refused, and a rollback only when it is accepted") {
  Federation federation(2);
  federation.start_all();
  const std::string data = federation.home() + "/coordinator/data";
  const std::string early = federation.folder() + "/early", late = federation.folder() + "/late";
  const JobId first = federation.submit({.rounds = 3, .min_clients = 2});
  REQUIRE(federation.await_end(first) == "job_finished");
  const JobId second = federation.submit({.rounds = 12, .min_clients = 2, .name = "second"});
  REQUIRE(federation.until([&] { return federation.coordinator().count("round_committed") >= 5; }));
  backup(federation, early);  // of a round in progress
  const auto ledger_early = verify_backup(early)->mark.ledger.sequence;
  REQUIRE(federation.await_end(second) == "job_finished");
  auto begin = std::chrono::steady_clock::now();
  backup(federation, late);
  figure("backup_s", seconds_since(begin));
  figure("backup_bytes", static_cast<double>(verify_backup(late)->bytes()));
  const Seen before = seen(federation, second);
  const std::string model = pulled(federation, second, "before");
  federation.nursery().kill(federation.coordinator());
  fs::copy(data, federation.folder() + "/whole", fs::copy_options::recursive);

  // Lost, and restored.
  fs::remove_all(data);
  begin = std::chrono::steady_clock::now();
  const Process& restore = federation.covey({"restore", late});
  figure("restore_s", seconds_since(begin));
  INFO(restore.errors());
  REQUIRE(restore.code() == 0);
  federation.start_coordinator();
  const bool equal = seen(federation, second) == before && pulled(federation, second, "after") == model;
  CHECK(equal);
  const JobId third = federation.submit({.rounds = 2, .min_clients = 2, .name = "third"});
  CHECK(federation.await_end(third) == "job_finished");  // its clients came back and trust it
  const Process& taken = federation.covey({"restore", early});
  CHECK(taken.code() == 2);
  CHECK(taken.says("is there already"));

  // An older copy in its place.
  federation.nursery().kill(federation.coordinator());
  fs::remove_all(data);
  fs::copy(federation.folder() + "/whole", data, fs::copy_options::recursive);
  const bool stale_refused = refused_at_start(federation);
  CHECK(stale_refused);
  fs::remove_all(data);
  CHECK(refused_at_start(federation));  // nor is an empty one taken
  fs::remove_all(data);

  // An older backup.
  const Process& rollback = federation.covey({"restore", early});
  CHECK(rollback.code() == 5);
  CHECK(rollback.says("--accept-rollback"));
  CHECK_FALSE(fs::exists(data));
  const Process& accepted = federation.covey({"restore", early, "--accept-rollback", "--json"});
  INFO(accepted.errors());
  REQUIRE(accepted.code() == 0);
  const auto report = nlohmann::json::parse(accepted.out());
  CHECK(report.at("rolled_back") == true);
  CHECK(report.at("ledger") == ledger_early);
  federation.start_coordinator();
  CHECK(federation.await_end(second) == "job_finished");  // the round that was in progress goes on
  const Process& audit = federation.covey({"audit"});
  INFO(audit.out() << audit.errors());
  CHECK(audit.code() == 0);  // both chains verify, and say what was done
  CHECK(audit.says("rollback accepted"));
  figure("restore_equal", equal ? 1 : 0);
  figure("stale_refused", stale_refused && rollback.code() == 5 ? 1 : 0);
}

TEST_CASE("backup: a restore asks the mark that the coordinator's settings name, and takes nothing damaged") {
  Federation federation(1);
  const std::string settings = federation.home() + "/coordinator/coordinator.toml", mark = federation.folder() + "/elsewhere.mark";
  write_text(settings, read_text(settings) + "ledger-mark = \"" + mark + "\"\n");
  federation.start_coordinator();
  CHECK(file_exists(mark));
  CHECK_FALSE(file_exists(federation.home() + "/coordinator/ledger.mark"));
  const std::string to = federation.folder() + "/b";
  const Process& made = federation.covey({"backup", to, "--copy"});
  REQUIRE(made.code() == 0);
  federation.nursery().kill(federation.coordinator());
  fs::remove_all(federation.home() + "/coordinator/data");
  const std::string before = read_text(mark);
  CHECK(federation.covey({"restore", to}).code() == 0);
  CHECK(read_text(mark) != before);  // its epoch has risen
  fs::remove_all(federation.home() + "/coordinator/data");
  const std::string current = to + "/db/CURRENT";
  write_text(current, read_text(current) + "x");
  CHECK(federation.covey({"restore", to}).code() == 7);
  const Process& verify = federation.nursery().run({"covey", {"backup", "--verify", to, "--home", federation.home()}});
  CHECK(verify.code() == 7);
  CHECK(verify.says("are not those that were saved"));
  CHECK_FALSE(fs::exists(federation.home() + "/coordinator/data"));
}
