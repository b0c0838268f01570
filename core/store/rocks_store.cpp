#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/table.h>
#include <rocksdb/utilities/checkpoint.h>
#include <rocksdb/write_batch.h>

#include <filesystem>

#include "core/base/fault_point.h"
#include "core/base/file.h"
#include "core/base/thrown.h"
#include "core/store/store.h"

namespace covey {
namespace {

rocksdb::Slice slice_of(std::string_view text) { return {text.data(), text.size()}; }
rocksdb::Slice slice_of(const Bytes& bytes) { return slice_of(text_of(bytes)); }
Bytes bytes_from(const rocksdb::Slice& slice) {
  const ByteSpan bytes = bytes_of({slice.data(), slice.size()});
  return {bytes.begin(), bytes.end()};
}

Error error_of(const rocksdb::Status& status, const std::string& path) {
  const std::string message = path + ": " + status.ToString();
  // A file size limit comes as a plain I/O error that has the system's words only.
  if (status.IsNoSpace() || message.find("File too large") != std::string::npos)
    return {ErrorCode::kDiskFull,
            message + ": free some space there, then start this program again"};
  if (status.IsCorruption() || status.IsPathNotFound())  // a file of its own is gone
    return {ErrorCode::kCorrupted, message + ": restore the folder from a backup"};
  if (message.find("Permission denied") != std::string::npos)
    return {ErrorCode::kPermissionDenied, message};
  return {ErrorCode::kUnavailable, message};
}

// RocksDB's own functions answer by Status, but what lies below them may throw.
template <class Work>
auto guarded(const std::string& path, Work work) -> decltype(work()) {
  try {
    return work();
  } catch (...) {
    return unexpected(in_context(path, error_of_exception()));
  }
}

// Its information log tells our users nothing, and grows beside the data.
class SilentLogger final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

// What RocksDB may hold, all of it: two tables of the newest rows (one is filled while the other goes to the disk),
// and the blocks that were read, those of indexes and filters among them. Rows are read at the start and hardly
// ever again. Measured, a table of 4 MiB that fills and empties again was most of what a coordinator's memory went
// up and down by between visits. To replay a long log larger tables are less work: a third of the processor's
// time with 4 instead of 1 MiB, a quarter with 4 instead of 16.
constexpr std::size_t kNewestRowsBytes = 1ULL << 20;
constexpr std::size_t kReplayedRowsBytes = 4ULL << 20;
constexpr std::size_t kBlocksReadBytes = 2ULL << 20;

void bound_memory(rocksdb::Options& options) {
  options.write_buffer_size = kReplayedRowsBytes;  // until it is open
  options.max_write_buffer_number = 2;
  rocksdb::BlockBasedTableOptions tables;
  tables.block_cache = rocksdb::NewLRUCache(kBlocksReadBytes, /*num_shard_bits=*/0);
  tables.cache_index_and_filter_blocks = true;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(tables));
}

rocksdb::Options options_for_small_records(Recovery recovery) {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.wal_recovery_mode = recovery == Recovery::kStrict
                                  ? rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords
                                  : rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  options.max_total_wal_size = 256ULL << 20;
  options.max_file_opening_threads = 1;  // with more it aborts where the system refuses one
  bound_memory(options);
  options.info_log = std::make_shared<SilentLogger>();
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

// Without its CURRENT file RocksDB would begin a new, empty store over the old one's files; for what a pipe
// holds it would wait for ever.
Result<void> check_files(const std::string& path) {
  const auto damaged = [&](const std::string& what) {
    return unexpected(ErrorCode::kCorrupted, path + ": " + what + ": restore the folder from a backup");
  };
  const bool current = file_exists(path + "/CURRENT");
  std::error_code error;
  for (std::filesystem::directory_iterator entry(path, error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string(), extension = entry->path().extension().string();
    std::error_code gone;
    if (const auto status = entry->status(gone); !gone && std::filesystem::is_other(status))
      return damaged(name + " is a pipe, socket or device");
    if (!current && (extension == ".sst" || extension == ".log")) return damaged("holds " + name + " but no CURRENT file");
  }
  return {};
}

Result<std::vector<Row>> rows_from(rocksdb::DB& database, std::string_view prefix, const std::string& path) {
  std::vector<Row> rows;
  rocksdb::ReadOptions once;
  once.fill_cache = false;
  const std::unique_ptr<rocksdb::Iterator> row(database.NewIterator(once));
  for (row->Seek(slice_of(prefix)); row->Valid(); row->Next()) {
    if (!row->key().starts_with(slice_of(prefix))) break;
    rows.push_back({row->key().ToString(), bytes_from(row->value())});
  }
  if (!row->status().ok()) return unexpected(error_of(row->status(), path));
  return rows;
}

class RocksStore final : public DurableStore {
 public:
  RocksStore(std::string path, FolderLock lock, std::unique_ptr<rocksdb::DB> database)
      : path_(std::move(path)), lock_(std::move(lock)), database_(std::move(database)) {}

  Result<void> write(const Batch& batch) override {
    if (batch.empty()) return {};
    return guarded(path_, [&]() -> Result<void> {
      fault_point("store.write.begin");
      rocksdb::WriteBatch writes;
      for (const Put& put : batch.puts) {
        const rocksdb::Status status = writes.Put(slice_of(put.key), slice_of(put.value));
        if (!status.ok()) return unexpected(error_of(status, path_));
      }
      for (const Delete& gone : batch.deletes) {
        const rocksdb::Status status = writes.Delete(slice_of(gone.key));
        if (!status.ok()) return unexpected(error_of(status, path_));
      }
      rocksdb::WriteOptions synced;
      synced.sync = true;
      fault_point("store.write.built");
      const rocksdb::Status status = database_->Write(synced, &writes);
      if (!status.ok()) return unexpected(error_of(status, path_));
      fault_point("store.write.end");
      return {};
    });
  }

  Result<std::optional<Bytes>> get(std::string_view key) override {
    return guarded(path_, [&]() -> Result<std::optional<Bytes>> {
      rocksdb::PinnableSlice value;
      const rocksdb::Status status = database_->Get(
          rocksdb::ReadOptions(), database_->DefaultColumnFamily(), slice_of(key), &value);
      if (status.IsNotFound()) return std::optional<Bytes>();
      if (!status.ok()) return unexpected(error_of(status, path_));
      return std::optional<Bytes>(bytes_from(value));
    });
  }

  Result<std::vector<Row>> scan(std::string_view prefix) override {
    return guarded(path_, [&] { return rows_from(*database_, prefix, path_); });
  }

  std::uint64_t sequence() override { return database_->GetLatestSequenceNumber(); }

  Result<void> checkpoint(const std::string& path) override {
    if (file_exists(path)) return unexpected(ErrorCode::kAlreadyExists, path + " is there already");
    return guarded(path, [&]() -> Result<void> {
      rocksdb::Checkpoint* made = nullptr;
      rocksdb::Status status = rocksdb::Checkpoint::Create(database_.get(), &made);
      const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
      if (status.ok()) status = checkpoint->CreateCheckpoint(path);
      if (!status.ok()) return unexpected(error_of(status, path));
      return {};
    });
  }

 private:
  std::string path_;
  FolderLock lock_;  // released after the database is closed
  std::unique_ptr<rocksdb::DB> database_;
};

}  // namespace

Result<std::unique_ptr<DurableStore>> open_rocks_store(const std::string& path, Recovery recovery) {
  COVEY_TRY_VOID(make_folders(path));
  COVEY_TRY(FolderLock lock, FolderLock::take(path));
  COVEY_TRY_VOID(check_files(path));
  return guarded(path, [&]() -> Result<std::unique_ptr<DurableStore>> {
    fault_point("store.open.begin");
    rocksdb::DB* opened = nullptr;
    rocksdb::Status status = rocksdb::DB::Open(options_for_small_records(recovery), path, &opened);
    std::unique_ptr<rocksdb::DB> database(opened);
    if (status.ok()) status = database->SetOptions({{"write_buffer_size", std::to_string(kNewestRowsBytes)}});
    if (!status.ok()) return unexpected(error_of(status, path));
    fault_point("store.open.end");
    return std::unique_ptr<DurableStore>(
        std::make_unique<RocksStore>(path, std::move(lock), std::move(database)));
  });
}

Result<StoreContents> read_rocks_store(const std::string& path, Recovery recovery) {
  if (!file_exists(path + "/CURRENT"))
    return unexpected(ErrorCode::kNotFound, path + " holds no store (no CURRENT file)");
  COVEY_TRY_VOID(check_files(path));
  return guarded(path, [&]() -> Result<StoreContents> {
    rocksdb::Options options = options_for_small_records(recovery);
    options.create_if_missing = false;
    rocksdb::DB* opened = nullptr;
    const rocksdb::Status status = rocksdb::DB::OpenForReadOnly(options, path, &opened);
    const std::unique_ptr<rocksdb::DB> database(opened);
    if (!status.ok()) return unexpected(error_of(status, path));
    COVEY_TRY(auto rows, rows_from(*database, "", path));
    return StoreContents{database->GetLatestSequenceNumber(), std::move(rows)};
  });
}

}  // namespace covey
