// kill -9 with a long write-ahead log: how long until the coordinator serves again.
#include <doctest/doctest.h>

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <sstream>

#include "coordinator/tables.h"
#include "core/protocol/records.h"
#include "tests/core/base/child_process.h"
#include "tests/system/federation.h"
#include "tests/system/figure_line.h"

using namespace covey;
using namespace covey::system_test;
namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t kLogBytes = 256ULL << 20;

std::uint64_t log_bytes(const std::string& db) {
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(db))
    if (entry.path().extension() == ".log") bytes += entry.file_size();
  return bytes;
}

// Journal entries as the coordinator writes them, one a batch, until the log has its length. A memory
// table that is never full keeps RocksDB from making tables of them. Does not return.
[[noreturn]] void write_and_die(const std::string& db) {
  rocksdb::Options options;
  options.write_buffer_size = 4ULL << 30;
  rocksdb::DB* database = nullptr;
  if (!rocksdb::DB::Open(options, db, &database).ok()) ::_exit(1);
  std::uint64_t bytes = 0;
  for (std::uint64_t i = 0; bytes < kLogBytes; ++i) {
    const std::uint64_t sequence = 1000 + i % 9000;
    const std::string key = journal_key(sequence);
    const Bytes value = encode(JournalEntry{sequence, instant_of_nanos(1'700'000'000'000'000'000), 0, std::string(200, 'j')});
    rocksdb::WriteBatch batch;
    if (!batch.Put(key, rocksdb::Slice(reinterpret_cast<const char*>(value.data()), value.size())).ok()) ::_exit(2);
    if (!database->Write(rocksdb::WriteOptions(), &batch).ok()) ::_exit(3);
    bytes += key.size() + value.size() + 22;  // about as the log frames it
  }
  if (!database->SyncWAL().ok()) ::_exit(4);
  std::raise(SIGKILL);
  ::_exit(5);
}

// The peer: RocksDB alone with its own defaults, on a copy.
double seconds_of_plain_open(const std::string& db, const std::string& copy) {
  fs::copy(db, copy, fs::copy_options::recursive);
  const auto begin = std::chrono::steady_clock::now();
  rocksdb::DB* database = nullptr;
  REQUIRE(rocksdb::DB::Open(rocksdb::Options(), copy, &database).ok());
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  delete database;
  return took;
}

// User and system time of a process so far; fields 14 and 15 of proc(5) stat, after the name in brackets.
double cpu_seconds(pid_t pid) {
  const std::string stat = read_text("/proc/" + std::to_string(pid) + "/stat");
  std::istringstream fields(stat.substr(stat.rfind(')') + 2));
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  double user = 0, system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

TEST_CASE("recovery: a coordinator killed with 256 MiB of log serves soon") {
  Federation federation(1);
  federation.start_coordinator();
  federation.nursery().kill(federation.coordinator());
  const std::string db = federation.home() + "/coordinator/data/db";
  const auto child = in_child_process([&]() -> int { write_and_die(db); });
  REQUIRE(child.signal == SIGKILL);
  const std::uint64_t log = log_bytes(db);
  REQUIRE(log >= kLogBytes / 100 * 99);
  figure("recovery_plain_s", seconds_of_plain_open(db, federation.folder() + "/copy"));
  const auto begin = std::chrono::steady_clock::now();
  federation.start_coordinator();
  Desk desk(federation.home());
  REQUIRE(desk.ask(ListJobs{}).has_value());
  const double took = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  figure("recovery_s", took);
  figure("recovery_cpu_s", cpu_seconds(federation.coordinator().pid()));
  figure("recovery_log_mib", static_cast<double>(log) / (1 << 20));
  CHECK(federation.coordinator().last("coordinator_started")->number("rows") >= 9000);
  CHECK(took <= 20);  // other tests may run beside; the figure has the goal
}
