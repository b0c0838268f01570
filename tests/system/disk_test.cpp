// Disks that are full or lie. A full disk is a limit on the size of files (RLIMIT_FSIZE), which every
// user can set; where this user may mount, it is a full tmpfs as well.
#include <doctest/doctest.h>

#include <sys/mount.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <set>

#include "tests/system/federation.h"
#include "tests/system/figure_line.h"

using namespace covey;
using namespace covey::system_test;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kFileBytesMax = 128 * 1024;

// About 1.3 MB of parameters: more than the limit, while journals and tables stay below it.
std::string wide_job(const JobText& job) {
  std::string toml = job_toml(job);
  const std::string family = "family = \"logistic\"";
  toml.replace(toml.find(family), family.size(), "family = \"mlp\"\nhidden = [512, 640]");
  return toml;
}

JobId submit_wide(Federation& federation, const JobText& job) {
  const std::string path = federation.folder() + "/wide.toml";
  write_text(path, wide_job(job));
  const Process& run = federation.covey({"run", "--detach", "--json", path});
  INFO(run.errors());
  REQUIRE(run.code() == 0);
  return nlohmann::json::parse(run.out()).at("job").get<JobId>();
}

bool says_full(const Process& process) {
  return process.says("No space left on device") || process.says("File too large") || process.says("free some space");
}

// Every model on the coordinator's disk gets one bit turned.
std::size_t damage_blobs(const std::string& folder) {
  std::size_t damaged = 0;
  for (const auto& entry : fs::recursive_directory_iterator(folder + "/blobs")) {
    if (!entry.is_regular_file() || entry.path().extension() == ".chunks" || entry.file_size() < 16) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(8);
    const int byte = file.get();
    file.seekp(8);
    file.put(static_cast<char>(byte ^ 1));
    damaged += file.good() ? 1 : 0;
  }
  return damaged;
}

// A small file system of its own, if this user may have one.
class SmallDisk {
 public:
  explicit SmallDisk(std::string folder) : folder_(std::move(folder)) {
    fs::create_directories(folder_);
    mounted_ = ::mount("tmpfs", folder_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=64m,mode=0700") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(folder_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }
  std::string ballast() const { return folder_ + "/ballast"; }
  // Leaves `bytes` free.
  void fill(std::uint64_t bytes) const {
    const auto space = fs::space(folder_);
    REQUIRE(space.available > bytes);
    std::ofstream file(ballast(), std::ios::binary);
    const std::string block(4096, 'x');
    for (std::uint64_t left = space.available - bytes; left >= block.size() && file.write(block.data(), static_cast<long>(block.size())); left -= block.size()) {
    }
  }
  void free() const { fs::remove(ballast()); }

 private:
  std::string folder_;
  bool mounted_ = false;
};

// How many acceptances this life logged which an earlier one had logged already: an acknowledged
// update that was lost would be delivered, and accepted, again.
std::size_t acknowledged_again(const Process& coordinator, JobId job, std::set<std::string>& accepted) {
  std::size_t again = 0;
  for (const LogLine& line : coordinator.lines()) {
    if (line.event != "update_accepted" || line.number("job") != job) continue;
    again += accepted.insert(std::to_string(line.number("round")) + " " + line.text("node")).second ? 0 : 1;
  }
  return again;
}

}  // namespace

TEST_CASE("disk: a coordinator that cannot store says so; with space again it does the next job") {
  Federation federation(2);
  federation.start_all();
  federation.nursery().kill(federation.coordinator());
  Launch launch = federation.coordinator_launch();
  launch.file_bytes_max = kFileBytesMax;
  Process& coordinator = federation.start_coordinator(launch);
  const std::string path = federation.folder() + "/wide.toml";
  write_text(path, wide_job({.rounds = 2, .min_clients = 2}));
  // The coordinator may end before its answer has left: the operator's command asks again.
  Process& run = federation.nursery().start({"covey", {"run", "--detach", "--json", path, "--home", federation.home()}});
  CHECK(federation.until([&] { return coordinator.ended(); }, 30));
  INFO(coordinator.errors());
  CHECK(coordinator.code() == 6);
  CHECK(says_full(coordinator));
  CHECK(coordinator.says(federation.home() + "/coordinator/data"));
  CHECK_FALSE(coordinator.has("job_failed"));

  federation.start_coordinator();  // without the limit the job goes on where it was
  federation.nursery().finish(run, 60);
  INFO(run.errors());
  REQUIRE(run.code() == 0);
  const JobId job = nlohmann::json::parse(run.out()).at("job").get<JobId>();
  CHECK(federation.await_end(job) == "job_finished");
}

TEST_CASE("disk: a job that does not fit is stopped while jobs are paused, and the next one runs") {
  Federation federation(2);
  federation.start_all();
  federation.nursery().kill(federation.coordinator());
  Launch tight = federation.coordinator_launch();
  tight.file_bytes_max = kFileBytesMax;
  Process* coordinator = &federation.start_coordinator(tight);
  const std::string path = federation.folder() + "/wide.toml";
  write_text(path, wide_job({.rounds = 2, .min_clients = 2}));
  Process& run = federation.nursery().start({"covey", {"run", "--detach", "--json", path, "--home", federation.home()}});
  REQUIRE(federation.until([&] { return coordinator->ended(); }, 30));
  CHECK(coordinator->code() == 6);
  CHECK(coordinator->says("--paused"));
  coordinator = &federation.nursery().start(tight);  // the same job first, so the same end
  REQUIRE(federation.until([&] { return coordinator->ended(); }, 30));
  CHECK(coordinator->code() == 6);

  Launch paused = tight;
  paused.arguments.push_back("--paused");
  coordinator = &federation.start_coordinator(paused);
  federation.nursery().finish(run, 60);
  INFO(run.errors());
  REQUIRE(run.code() == 0);
  const JobId job = nlohmann::json::parse(run.out()).at("job").get<JobId>();
  const Process& stop = federation.covey({"stop", std::to_string(job)});
  INFO(stop.errors());
  CHECK(stop.code() == 0);
  CHECK_FALSE(coordinator->ended());
  federation.nursery().kill(*coordinator);

  coordinator = &federation.start_coordinator(tight);
  const JobId next = federation.submit({.rounds = 2, .min_clients = 2});
  CHECK(federation.await_end(next) == "job_finished");
  CHECK_FALSE(coordinator->ended());
}

TEST_CASE("disk: a client that cannot store says so, and the run goes on without it") {
  Federation federation(3);
  federation.start_all();
  federation.nursery().kill(federation.client(2));
  Launch launch = federation.client_launch(2);
  launch.file_bytes_max = kFileBytesMax;
  Process& client = federation.start_client(2, launch);
  const JobId job = submit_wide(federation, {.rounds = 2, .min_clients = 2, .round = "deadline_s = 60\nquorum = 0.6\n"});
  const std::string end = federation.await_end(job);
  INFO(federation.coordinator().errors());
  CHECK(end == "job_finished");
  INFO(client.errors());
  CHECK(says_full(client));
  CHECK(client.ended());
  CHECK(client.code() == 6);
}

TEST_CASE("disk: a full file system ends the coordinator with a clear word, nothing acknowledged is lost, and the job goes on once there is space") {
  Federation federation(2);
  const SmallDisk disk(federation.home() + "/coordinator/data");
  if (!disk.mounted()) {
    MESSAGE("this user may not mount a tmpfs: skipped; the limit on files above stands for it");
    return;
  }
  federation.start_all();
  std::set<std::string> accepted;  // acknowledged updates: durable, so no later life accepts them again
  std::size_t lost = 0, ends = 0;
  JobId job = submit_wide(federation, {.rounds = 6, .min_clients = 2});
  double serving_s = 0;
  // Full at another moment each time: what is left holds part of a model, of an update, of the log.
  for (const std::uint64_t left : {2'600'000U, 1'000'000U, 300'000U, 0U, 1'500'000U}) {
    if (federation.coordinator().has("job_finished")) break;
    disk.fill(left);
    Process& coordinator = federation.coordinator();
    const auto over = [&] { return coordinator.ended() || coordinator.has("job_finished"); };
    REQUIRE(federation.until(over, 60));
    INFO(coordinator.errors());
    lost += acknowledged_again(coordinator, job, accepted);
    disk.free();
    if (!coordinator.ended()) continue;
    ++ends;
    CHECK(coordinator.code() == 6);
    CHECK(says_full(coordinator));
    CHECK(coordinator.says(federation.home() + "/coordinator/data"));
    CHECK_FALSE(coordinator.has("job_failed"));
    CHECK_FALSE(coordinator.has("update_refused"));
    const auto begin = std::chrono::steady_clock::now();
    federation.start_coordinator();
    serving_s = std::max(serving_s, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  const std::string end = federation.await_end(job, 60);
  INFO(federation.coordinator().errors() << federation.client(0).errors());
  CHECK(end == "job_finished");
  lost += acknowledged_again(federation.coordinator(), job, accepted);
  // Six rounds and the final evaluation, of two clients, each once. The last that was durable before an
  // end may not have been said any more.
  CHECK(accepted.size() <= 2 * 7);
  CHECK(accepted.size() + ends >= 2 * 7);
  CHECK(lost == 0);
  CHECK(ends >= 1);
  CHECK(serving_s <= 20);  // other tests may run beside; the figure has the goal
  figure("disk_full_lost", static_cast<double>(lost));
  figure("disk_full_serving_s", serving_s);
  figure("disk_full_ends", static_cast<double>(ends));
  figure("disk_full_acknowledged", static_cast<double>(accepted.size()));
  federation.nursery().kill(federation.coordinator());  // before the disk goes
}

TEST_CASE("disk: a damaged model is told from a good one") {
  Federation federation(2);
  federation.start_all();
  const JobId job = federation.submit({.rounds = 2, .min_clients = 2});
  REQUIRE(federation.await_end(job) == "job_finished");
  federation.nursery().kill(federation.coordinator());
  REQUIRE(damage_blobs(federation.home() + "/coordinator/data/blobs") > 0);
  federation.start_coordinator();
  const Process& pull = federation.covey({"pull", "-o", federation.folder() + "/model"}, 60);
  INFO(pull.errors());
  CHECK(pull.code() != 0);
  CHECK(pull.code() != 137);  // it was told, and did not hang
  CHECK(pull.says("does not have its hash"));
  CHECK_FALSE(fs::exists(federation.folder() + "/model/model.safetensors"));
  const JobId next = federation.submit({.rounds = 2, .min_clients = 2, .name = "other"});  // new blobs are good
  CHECK(federation.await_end(next) == "job_finished");
}

TEST_CASE("disk: a program that may open too few files is refused at its start, with the limit and the remedy") {
  Federation federation(1);
  federation.start_all();
  federation.nursery().kill(federation.client(0));
  federation.nursery().kill(federation.coordinator());
  for (Launch launch : {federation.coordinator_launch(), federation.client_launch(0)}) {
    CAPTURE(launch.program);
    for (const std::uint64_t limit : {16, 40, 64}) {
      launch.open_files_max = limit;
      const Process& process = federation.nursery().run(launch, 10);
      INFO(process.errors());
      CHECK(process.code() == 6);
      CHECK(process.says("may have " + std::to_string(limit) + " files and connections open"));
      CHECK(process.says("LimitNOFILE="));
    }
  }
  Launch enough = federation.coordinator_launch(), client = federation.client_launch(0);
  enough.open_files_max = client.open_files_max = 72;
  federation.start_coordinator(enough);
  federation.start_client(0, client);
  CHECK(federation.await_end(federation.submit({.rounds = 2, .min_clients = 1})) == "job_finished");
}

TEST_CASE("disk: a program whose values are taken away while it runs ends, and says what is gone") {
  Federation federation(2);
  federation.start_all();
  const JobId job = federation.submit({.rounds = 20'000, .min_clients = 2});
  REQUIRE(federation.until([&] { return federation.client(0).count("training_done") >= 2; }));
  const std::string values = federation.home_of(0) + "/data/blobs";
  fs::rename(values, federation.folder() + "/taken");
  Process& client = federation.client(0);
  REQUIRE(federation.until([&] { return client.ended(); }, 30));
  INFO(client.errors());
  CHECK(client.code() == 7);
  REQUIRE(client.has("state_gone"));
  CHECK(client.last("state_gone")->text("reason").find(values) == 0);
  for (const LogLine& line : federation.coordinator().lines())
    CHECK(line.text("text").find(federation.home_of(0)) == std::string::npos);  // nobody else is told a path of the site's
  federation.start_client(0);  // fetches them again
  REQUIRE(federation.until([&] { return federation.client(0).count("training_done") >= 2; }, 60));

  const std::string held = federation.home() + "/coordinator/data/blobs";
  fs::rename(held, federation.folder() + "/held");
  REQUIRE(federation.until([&] { return federation.coordinator().ended(); }, 30));
  INFO(federation.coordinator().errors());
  CHECK(federation.coordinator().code() == 7);
  CHECK(federation.coordinator().has("state_gone"));
  CHECK_FALSE(federation.coordinator().has("job_failed"));
  fs::remove_all(held);  // what it may have begun anew
  fs::rename(federation.folder() + "/held", held);
  Process& again = federation.start_coordinator();
  CHECK(federation.until([&] { return again.count("round_committed") >= 1; }, 60));
  federation.covey({"stop", std::to_string(job)});
}
