// Where a client is in the streamed data of each job: the round it trained last begins at one cursor and ends at
// another. A repeated attempt of that round begins where it began, a later round where it ended.
#pragma once
#include <map>
#include <string_view>

#include "client/outbox.h"
#include "core/base/batch.h"

namespace covey::client {

class DataPlaces {
 public:
  static constexpr std::string_view kTable = "cursor/";  // "cursor/<job>" -> version, round, before, after

  explicit DataPlaces(ClientOutbox& out) : out_(out) {}

  static bool holds(const Row& row) { return row.key.starts_with(kTable); }
  Result<void> load(const Row& row);  // errors: kCorrupted naming the row
  Bytes begin_of(const RoundKey& key) const;  // empty: at the beginning
  // Persists; nothing waits for it: should it be lost, the round is trained again from where it began.
  void trained(const RoundKey& key, Bytes after);

 private:
  struct Place {
    std::uint32_t round = 0;
    Bytes before, after;
  };
  ClientOutbox& out_;
  std::map<JobId, Place> places_;
};

}  // namespace covey::client
