#include "core/store/store.h"

namespace covey {

Result<void> MemoryStore::write(const Batch& batch) {
  for (const Put& put : batch.puts) rows_.insert_or_assign(put.key, put.value);
  for (const Delete& gone : batch.deletes) rows_.erase(gone.key);
  return {};
}

Result<std::optional<Bytes>> MemoryStore::get(std::string_view key) {
  const auto row = rows_.find(key);
  if (row == rows_.end()) return std::optional<Bytes>();
  return std::optional<Bytes>(row->second);
}

Result<std::vector<Row>> MemoryStore::scan(std::string_view prefix) {
  std::vector<Row> rows;
  for (auto row = rows_.lower_bound(prefix); row != rows_.end(); ++row) {
    if (!row->first.starts_with(prefix)) break;
    rows.push_back({row->first, row->second});
  }
  return rows;
}

}  // namespace covey
