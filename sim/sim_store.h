// A simulated disk's rows: a write is durable only when its sync is done, and a crash keeps a random
// prefix of what was under way, each batch whole or not at all, as RocksDB's write-ahead log does.
#pragma once
#include <deque>
#include <optional>
#include <vector>

#include "core/base/batch.h"
#include "core/base/random.h"
#include "core/store/store.h"

namespace covey {

class SimStore {
 public:
  void begin(Batch batch) { pending_.push_back(std::move(batch)); }
  void finish_oldest();         // its sync is done
  void crash(Random& random);   // a prefix of the pending writes survives
  std::vector<Row> rows();
  bool has(const std::string& key);  // durable, not merely under way
  std::optional<Bytes> get(const std::string& key);  // the same

 private:
  void apply(const Batch& batch);
  MemoryStore durable_;
  std::deque<Batch> pending_;
};

}  // namespace covey
