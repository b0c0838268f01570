// The authority's credential for this client: verified, and kept. In secure aggregation the client signs as
// the subject that it names. Without one no job of that kind selects it.
#pragma once
#include <optional>
#include <string_view>

#include "client/client.h"
#include "client/outbox.h"

namespace covey::client {

class Vouched {
 public:
  Vouched(const ClientConfig& config, ClientOutbox& out) : config_(config), out_(out) {}  // both outlive this

  static constexpr std::string_view kRow = "credential";
  // Of that key. One of an epoch that counts no more is left out. Errors: kCorrupted naming it.
  Result<void> load(const Row& row);

  void on(const CredentialIssued& message);
  bool on(const Persisted& event);  // false: not its own

  // Null: none yet. It counts from when it came, before it is durable: a round may be offered right after,
  // and what a crash loses of it comes again with the next join.
  const MemberCredential* credential() const { return credential_ ? &*credential_ : nullptr; }

 private:
  Result<void> judge(const MemberCredential& credential) const;

  const ClientConfig& config_;
  ClientOutbox& out_;
  std::optional<MemberCredential> credential_;
  Ticket saving_ = 0;               // the write of credential_, until it is durable
};

}  // namespace covey::client
