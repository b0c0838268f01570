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
  // Errors: kResourceExhausted when the disk is full. After an error the store may refuse every
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

// RocksDB in the folder `path`, which is made when missing. May be used from several threads.
// A last write that was torn by a power cut is dropped: it was never acknowledged.
// Errors: kUnavailable when another process has it open; kCorrupted; kPermissionDenied;
// kResourceExhausted.
Result<std::unique_ptr<Store>> open_rocks_store(const std::string& path);

}  // namespace covey
