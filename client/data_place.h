// Where a client is in the streamed data of each job: each of the rounds that it trained last begins at one cursor,
// and the last of them ends at another. A repeated attempt of a round begins where it began, also where a coordinator
// was put back to before it; a later round where the last ended. A job is told apart by its number and its public
// configuration: a restored coordinator may give the number of a lost job to another one.
#pragma once
#include <map>
#include <string_view>

#include "client/outbox.h"
#include "core/base/batch.h"

namespace covey::client {

class DataPlaces {
 public:
  static constexpr std::string_view kTable = "cursor/";  // "cursor/<job>" -> docs/durable_state.md
  static constexpr std::size_t kRoundsRemembered = 32;   // of a job

  explicit DataPlaces(ClientOutbox& out) : out_(out) {}

  static bool holds(const Row& row) { return row.key.starts_with(kTable); }
  Result<void> load(const Row& row);  // errors: kCorrupted naming the row
  // `config`: of the job's public configuration. Empty: at the beginning.
  Bytes begin_of(const RoundKey& key, const Digest& config) const;
  // Persists; nothing waits for it: should it be lost, the round is trained again from where it began.
  void trained(const RoundKey& key, const Digest& config, Bytes after);

 private:
  struct Place {
    Digest config;  // zeros: a row of version 1, which does not say
    std::map<std::uint32_t, Bytes> before;  // by round
    Bytes after;
  };
  ClientOutbox& out_;
  std::map<JobId, Place> places_;
};

}  // namespace covey::client
