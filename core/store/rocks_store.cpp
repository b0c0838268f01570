#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/write_batch.h>

#include <exception>

#include "core/base/fault_point.h"
#include "core/base/file.h"
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
    return {ErrorCode::kResourceExhausted,
            message + ": free some space there, then start this program again"};
  if (status.IsCorruption())
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
  } catch (const std::bad_alloc&) {
    return unexpected(ErrorCode::kResourceExhausted, path + ": out of memory");
  } catch (const std::exception& error) {
    return unexpected(ErrorCode::kInternal, path + ": " + error.what());
  }
}

// Its information log tells our users nothing, and grows beside the data.
class SilentLogger final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

rocksdb::Options options_for_small_records() {
  rocksdb::Options options;
  options.create_if_missing = true;
  options.paranoid_checks = true;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.max_total_wal_size = 256ULL << 20;
  options.write_buffer_size = 16ULL << 20;
  options.info_log = std::make_shared<SilentLogger>();
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

class RocksStore final : public Store {
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
    return guarded(path_, [&]() -> Result<std::vector<Row>> {
      std::vector<Row> rows;
      const std::unique_ptr<rocksdb::Iterator> row(database_->NewIterator(rocksdb::ReadOptions()));
      for (row->Seek(slice_of(prefix)); row->Valid(); row->Next()) {
        if (!row->key().starts_with(slice_of(prefix))) break;
        rows.push_back({row->key().ToString(), bytes_from(row->value())});
      }
      if (!row->status().ok()) return unexpected(error_of(row->status(), path_));
      return rows;
    });
  }

 private:
  std::string path_;
  FolderLock lock_;  // released after the database is closed
  std::unique_ptr<rocksdb::DB> database_;
};

}  // namespace

Result<std::unique_ptr<Store>> open_rocks_store(const std::string& path) {
  COVEY_TRY_VOID(make_folders(path));
  COVEY_TRY(FolderLock lock, FolderLock::take(path));
  return guarded(path, [&]() -> Result<std::unique_ptr<Store>> {
    fault_point("store.open.begin");
    rocksdb::DB* opened = nullptr;
    const rocksdb::Status status = rocksdb::DB::Open(options_for_small_records(), path, &opened);
    std::unique_ptr<rocksdb::DB> database(opened);
    if (!status.ok()) return unexpected(error_of(status, path));
    fault_point("store.open.end");
    return std::unique_ptr<Store>(
        std::make_unique<RocksStore>(path, std::move(lock), std::move(database)));
  });
}

}  // namespace covey
