// Disks that are full or lie. A full disk is a limit on the size of files (RLIMIT_FSIZE), which every
// user can set; where this user may mount, it is a full tmpfs as well.
#include <doctest/doctest.h>

#include <sys/mount.h>

#include <filesystem>
#include <fstream>

#include "tests/system/federation.h"

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
    mounted_ = ::mount("tmpfs", folder_.c_str(), "tmpfs", MS_NOSUID | MS_NODEV, "size=96m,mode=0700") == 0;
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

}  // namespace

TEST_CASE("disk: a coordinator that cannot store says so; with space again it does the next job") {
  Federation federation(2);
  federation.start_all();
  federation.nursery().kill(federation.coordinator());
  Launch launch = federation.coordinator_launch();
  launch.file_bytes_max = kFileBytesMax;
  Process& coordinator = federation.start_coordinator(launch);
  const JobId job = submit_wide(federation, {.rounds = 2, .min_clients = 2});
  const bool told = federation.until([&] { return coordinator.ended() || coordinator.has("job_failed"); }, 30);
  INFO(coordinator.errors());
  CHECK(told);
  CHECK(says_full(coordinator));
  if (coordinator.ended()) CHECK(coordinator.code() == 6);
  if (coordinator.has("job_failed")) CHECK(says_full(federation.covey({"watch", std::to_string(job)})));

  federation.nursery().kill(coordinator);
  federation.start_coordinator();
  const JobId next = submit_wide(federation, {.rounds = 2, .min_clients = 2});
  CHECK(federation.await_end(next) == "job_finished");
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
  if (client.ended()) CHECK(client.code() == 6);
}

TEST_CASE("disk: a full file system stops the coordinator with a clear word, and the run goes on once there is space") {
  Federation federation(2);
  const SmallDisk disk(federation.home() + "/coordinator/data");
  if (!disk.mounted()) {
    MESSAGE("this user may not mount a tmpfs: skipped; the limit on files above stands for it");
    return;
  }
  federation.start_all();
  disk.fill(1'000'000);  // less than one model
  const JobId job = submit_wide(federation, {.rounds = 2, .min_clients = 2});
  Process& coordinator = federation.coordinator();
  const bool told = federation.until([&] { return coordinator.ended() || coordinator.has("job_failed"); }, 30);
  INFO(coordinator.errors());
  CHECK(told);
  CHECK(says_full(coordinator));
  if (coordinator.ended()) CHECK(coordinator.code() == 6);
  federation.nursery().kill(coordinator);
  disk.free();
  federation.start_coordinator();
  const JobId next = submit_wide(federation, {.rounds = 2, .min_clients = 2});
  CHECK(next == job + 1);
  const std::string end = federation.await_end(next);
  INFO(federation.coordinator().errors() << federation.client(0).errors());
  CHECK(end == "job_finished");
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
