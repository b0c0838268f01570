// Which blobs this client holds only because of an offered model: the current one's configuration,
// manifest and shards. A new version's shards are often the old one's, and then stay.
#pragma once
#include <set>
#include <string_view>
#include <vector>

#include "client/outbox.h"
#include "core/base/batch.h"

namespace covey::client {

class ModelCache {
 public:
  static constexpr std::string_view kRow = "cache/model";

  explicit ModelCache(ClientOutbox& out) : out_(out) {}

  // Errors: kCorrupted.
  Result<void> load(const Row& row);
  // A blob that is being fetched and may turn out not to be needed.
  void add(const Digest& blob) { held_.insert(blob); }
  // Exactly these stay; the others are erased, and the choice outlives the process.
  void keep_only(std::set<Digest> wanted);
  const std::set<Digest>& held() const { return held_; }

 private:
  ClientOutbox& out_;
  std::set<Digest> held_;
  std::set<Digest> saved_;
};

}  // namespace covey::client
