#include <doctest/doctest.h>

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "core/base/file.h"
#include "core/store/store.h"
#include "tests/core/base/child_process.h"
#include "tests/core/base/temporary_folder.h"
#include "tests/core/store/file_limit.h"

using namespace covey;

namespace {

Batch batch_of(const std::string& name, std::size_t rows) {
  Batch batch;
  for (std::size_t i = 0; i < rows; ++i) batch.put(name + "/" + std::to_string(i), Bytes(100, static_cast<std::uint8_t>(i)));
  return batch;
}

// The write-ahead logs of a closed store, newest last.
std::vector<std::string> write_ahead_logs(const std::string& path) {
  std::vector<std::string> logs;
  for (const auto& entry : std::filesystem::directory_iterator(path))
    if (std::error_code gone; entry.path().extension() == ".log" && entry.file_size(gone) > 0 && !gone) logs.push_back(entry.path().string());
  std::sort(logs.begin(), logs.end());
  return logs;
}

}  // namespace

TEST_CASE("rocks store: what was written is there after reopening") {
  const TemporaryFolder folder;
  {
    const auto store = open_rocks_store(folder / "deep/store");
    REQUIRE(store);
    REQUIRE((*store)->write(batch_of("a", 3)));
    Batch deletes;
    deletes.erase("a/1");
    REQUIRE((*store)->write(deletes));
  }
  const auto store = open_rocks_store(folder / "deep/store");
  REQUIRE(store);
  CHECK((*store)->scan("a/")->size() == 2);
  CHECK_FALSE(std::filesystem::exists(folder / "deep/store/LOG"));
}

// What is not in a table yet is in the log, and in memory.
TEST_CASE("rocks store: no more than a table or two of 1 MiB waits in memory to be written") {
  constexpr std::size_t kMiB = 1 << 20;
  const TemporaryFolder folder;
  const auto store = open_rocks_store(folder / "store");
  REQUIRE(store);
  for (std::size_t written = 0; written < 15 * kMiB / 2; written += kMiB / 8) {
    Batch batch;
    batch.put("row/" + std::to_string(written), Bytes(kMiB / 8, 7));
    REQUIRE((*store)->write(batch));
  }
  const auto waiting = [&] {
    std::uintmax_t bytes = 0;
    std::error_code gone;  // a log may be removed meanwhile
    for (const std::string& log : write_ahead_logs(folder / "store"))
      if (const std::uintmax_t size = std::filesystem::file_size(log, gone); !gone) bytes += size;
    return bytes;
  };
  const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (waiting() > 5 * kMiB / 2 && std::chrono::steady_clock::now() < until) std::this_thread::yield();
  CHECK(waiting() <= 5 * kMiB / 2);
}

// Runs only in the process that the next test starts and kills.
TEST_CASE("rocks store: the process that is killed" * doctest::skip()) {
  const char* path = std::getenv("COVEY_TEST_STORE");
  REQUIRE(path != nullptr);
  const auto store = open_rocks_store(path);
  REQUIRE(store);
  REQUIRE((*store)->write(batch_of("a", 5)));
  std::raise(SIGKILL);
}

TEST_CASE("rocks store: an acknowledged batch survives kill -9") {
  const TemporaryFolder folder;
  // A fresh program rather than a bare fork: RocksDB starts threads.
  const auto child = in_child_process([&] {
    ::setenv("COVEY_TEST_STORE", folder.path().c_str(), 1);
    ::execl("/proc/self/exe", "test_store", "--no-skip", "--no-intro",
            "--test-case=rocks store: the process that is killed", nullptr);
    return 1;
  });
  REQUIRE(child.signal == SIGKILL);
  const auto store = open_rocks_store(folder.path());
  REQUIRE(store);
  CHECK((*store)->scan("a/")->size() == 5);
}

TEST_CASE("rocks store: a batch torn at any place is wholly there or wholly not") {
  const TemporaryFolder folder;
  {
    const auto store = open_rocks_store(folder / "whole");
    REQUIRE(store);
    REQUIRE((*store)->write(batch_of("first", 3)));
    REQUIRE((*store)->write(batch_of("second", 4)));
  }
  const auto logs = write_ahead_logs(folder / "whole");
  REQUIRE(logs.size() == 1);
  const auto bytes = std::filesystem::file_size(logs[0]);
  for (const std::size_t cut : {0U, 1U, 50U, 200U, 400U}) {
    CAPTURE(cut);
    const std::string copy = folder / ("cut-" + std::to_string(cut));
    std::filesystem::copy(folder / "whole", copy);
    REQUIRE(bytes > cut);
    std::filesystem::resize_file(write_ahead_logs(copy)[0], bytes - cut);
    const auto store = open_rocks_store(copy);
    REQUIRE(store);
    CHECK((*store)->scan("first/")->size() == 3);
    CHECK((*store)->scan("second/")->size() == (cut == 0 ? 4 : 0));
  }
}

TEST_CASE("rocks store: a second process is told that the folder is in use") {
  const TemporaryFolder folder;
  const auto refused = [&] {
    const auto second = open_rocks_store(folder.path());
    return !second && second.error().code == ErrorCode::kUnavailable &&
           second.error().message.find("already in use by another process") != std::string::npos &&
           second.error().message.find(folder.path()) == 0;
  };
  auto store = open_rocks_store(folder.path());
  REQUIRE(store);
  CHECK(in_child_process([&] { return refused() ? 0 : 1; }).exit_code == 0);
  CHECK(refused());
  store->reset();
  CHECK_FALSE(refused());
}

TEST_CASE("rocks store: a full disk is told with its folder, and loses nothing") {
  const TemporaryFolder folder;
  {
    const auto store = open_rocks_store(folder.path());
    REQUIRE(store);
    REQUIRE((*store)->write(batch_of("kept", 2)));
    Batch large;
    large.put("large", Bytes(4 << 20, 7));
    Result<void> written;
    {
      const FileLimit limit(1 << 20);
      written = (*store)->write(large);
    }
    REQUIRE_FALSE(written);
    CHECK(written.error().code == ErrorCode::kDiskFull);
    CHECK(written.error().message.find(folder.path()) == 0);
  }
  const auto store = open_rocks_store(folder.path());
  REQUIRE(store);
  CHECK((*store)->scan("kept/")->size() == 2);
  CHECK_FALSE((*store)->get("large")->has_value());
  CHECK((*store)->write(batch_of("more", 1)));
}

TEST_CASE("rocks store: a damaged table is told as corrupted") {
  const TemporaryFolder folder;
  {
    const auto store = open_rocks_store(folder.path());
    REQUIRE(store);
    // More than the memory table holds, so that a table file is written.
    for (int i = 0; i < 5; ++i) {
      Batch batch;
      Bytes noise(4 << 20);
      std::uint32_t state = static_cast<std::uint32_t>(i) + 1;
      for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>((state = state * 1664525 + 1013904223) >> 24);
      batch.put("row/" + std::to_string(i), std::move(noise));
      REQUIRE((*store)->write(batch));
    }
  }
  // Reopening replays the log into a table, whatever was flushed before.
  REQUIRE(open_rocks_store(folder.path()));
  std::size_t damaged = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().extension() != ".sst") continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(1000);
    file.write("damage", 6);
    ++damaged;
  }
  REQUIRE(damaged > 0);
  const auto store = open_rocks_store(folder.path());
  REQUIRE(store);
  const auto rows = (*store)->scan("row/");
  REQUIRE_FALSE(rows);
  CHECK(rows.error().code == ErrorCode::kCorrupted);
}

TEST_CASE("rocks store: a file of it that is gone, or is a pipe, is told as corrupted") {
  const TemporaryFolder folder;
  REQUIRE((*open_rocks_store(folder.path()))->write(batch_of("a", 3)));
  std::string manifest;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    if (entry.path().filename().string().starts_with("MANIFEST-")) manifest = entry.path().string();
  REQUIRE_FALSE(manifest.empty());
  const auto fault = [&] {
    const auto opened = open_rocks_store(folder.path());
    REQUIRE_FALSE(opened);
    const auto read = read_rocks_store(folder.path(), Recovery::kStrict);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == ErrorCode::kCorrupted);
    CHECK(opened.error().code == ErrorCode::kCorrupted);
    CHECK(opened.error().message.find("restore the folder from a backup") != std::string::npos);
    return opened.error().message;
  };
  std::filesystem::rename(manifest, folder.path() + "-kept");
  CHECK(fault().find("MANIFEST-") != std::string::npos);
  std::filesystem::rename(folder.path() + "-kept", manifest);
  std::filesystem::remove(folder / "CURRENT");
  REQUIRE(::mkfifo((folder / "CURRENT").c_str(), 0600) == 0);
  CHECK(fault().find("CURRENT is a pipe") != std::string::npos);
}

TEST_CASE("rocks store: a path that is a file is refused") {
  const TemporaryFolder folder;
  std::ofstream(folder / "plain") << "x";
  CHECK_FALSE(open_rocks_store(folder / "plain").has_value());
  CHECK_FALSE(open_rocks_store("").has_value());
}
