// Small durable records under ordered keys. Large values lie beside it as blobs (blobs.h).
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/batch.h"
#include "core/base/result.h"

namespace covey {

class Store {
 public:
  virtual ~Store() = default;

  // All of the batch or nothing; the puts in order, then the deletes. Durable when it returns.
  // Errors: kDiskFull. After an error the store may refuse every
  // further write: stop, mend the cause, and open it again.
  virtual Result<void> write(const Batch& batch) = 0;

  // Errors: kCorrupted when a record does not verify.
  virtual Result<std::optional<Bytes>> get(std::string_view key) = 0;

  // The rows whose keys begin with `prefix` (all of them for an empty one), in the order of their
  // keys as unsigned bytes, as they were at one moment. Errors: kCorrupted.
  virtual Result<std::vector<Row>> scan(std::string_view prefix) = 0;
};

// Forgets everything when it goes; for tests and simulations.
class MemoryStore final : public Store {
 public:
  Result<void> write(const Batch& batch) override;
  Result<std::optional<Bytes>> get(std::string_view key) override;
  Result<std::vector<Row>> scan(std::string_view prefix) override;

 private:
  std::map<std::string, Bytes, std::less<>> rows_;
};

// What a start does with a log whose middle does not verify.
enum class Recovery {
  kStrict,       // refuse; only a torn last write is dropped, for it was never acknowledged
  kPointInTime,  // keep what lies before the first damage: whoever asks for it must judge what is left
};

// A store in files.
class DurableStore : public Store {
 public:
  // Rows put and deleted since the store was made. It never falls, unless a recovery lost something.
  virtual std::uint64_t sequence() = 0;

  // The store as it is now, in the folder `path`, which must not be there; its parent must, and on
  // the same disk. Opens as a store of its own. Errors: kAlreadyExists, kDiskFull.
  virtual Result<void> checkpoint(const std::string& path) = 0;
};

// RocksDB in the folder `path`, which is made when missing. May be used from several threads.
// Errors: kUnavailable when another process has it open; kCorrupted; kPermissionDenied; kDiskFull.
Result<std::unique_ptr<DurableStore>> open_rocks_store(const std::string& path,
                                                       Recovery recovery = Recovery::kStrict);

// Every row as open_rocks_store() would find it, and nothing on the disk is changed, so that a
// recovery can be judged before it is made. The store must not be open anywhere.
struct StoreContents {
  std::uint64_t sequence = 0;
  std::vector<Row> rows;
};
Result<StoreContents> read_rocks_store(const std::string& path, Recovery recovery);

}  // namespace covey
