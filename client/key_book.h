// The coordinator's CURVE key as this client knows it: keeps the newest change that it is told, once it has
// verified that it is the authority's and of its own coordinator, and only then follows it.
#pragma once
#include <optional>

#include "client/client.h"
#include "client/outbox.h"
#include "core/protocol/key_change.h"

namespace covey::client {

class KeyBook {
 public:
  KeyBook(const ClientConfig& config, ClientOutbox& out) : config_(config), out_(out) {}  // both outlive this

  static constexpr std::string_view kRow = "keychange";
  Result<void> load(const Row& row);  // of that key; errors: kCorrupted naming it

  void on(const KeyChanged& message);
  bool on(const Persisted& event);    // false: not its own

 private:
  const ClientConfig& config_;
  ClientOutbox& out_;
  std::optional<KeyChange> change_;   // the newest
  Ticket saving_ = 0;                 // the write of change_, until it is durable
};

}  // namespace covey::client
