#include "sim/sim_store.h"

namespace covey {

void SimStore::apply(const Batch& batch) { COVEY_CHECK(durable_.write(batch).has_value()); }

void SimStore::finish_oldest() {
  COVEY_CHECK(!pending_.empty());
  apply(pending_.front());
  pending_.pop_front();
}

void SimStore::crash(Random& random) {
  const std::uint64_t survivors = random.below(pending_.size() + 1);
  for (std::uint64_t i = 0; i < survivors; ++i) apply(pending_[i]);
  pending_.clear();
}

bool SimStore::has(const std::string& key) { return get(key).has_value(); }

std::optional<Bytes> SimStore::get(const std::string& key) {
  auto value = durable_.get(key);
  COVEY_CHECK(value.has_value());
  return std::move(*value);
}

std::vector<Row> SimStore::rows() {
  auto rows = durable_.scan("");
  COVEY_CHECK(rows.has_value());
  return std::move(*rows);
}

}  // namespace covey
