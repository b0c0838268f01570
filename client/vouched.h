// The authority's credential for this client, and its newest list of withdrawn ones: verified, and kept. In secure
// aggregation the client signs as the subject that the credential names. Without one no job of that kind selects it.
// The highest epoch that the authority signed for is durable by them, and nothing lower counts.
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
  static constexpr std::string_view kListRow = "withdrawals";
  static bool holds(const Row& row) { return row.key == kRow || row.key == kListRow; }
  // Of those keys. Errors: kCorrupted naming it.
  Result<void> load(const Row& row);

  void on(const CredentialIssued& message);
  void on(const CredentialsWithdrawn& message);
  bool on(const Persisted& event);  // false: not its own

  // Null: none yet. It counts from when it came, before it is durable: a round may be offered right after,
  // and what a crash loses of it comes again with the next join.
  const MemberCredential* credential() const { return credential_ && counts(*credential_) ? &*credential_ : nullptr; }
  const Withdrawals& withdrawals() const { return withdrawals_; }  // number 0: none yet
  // The least that this client aggregates under: of its list, of its credential.
  std::uint32_t epoch_min() const;

 private:
  Result<void> load_list(const Row& row);
  Result<void> judge(const MemberCredential& credential) const;
  bool counts(const MemberCredential& credential) const;

  const ClientConfig& config_;
  ClientOutbox& out_;
  std::optional<MemberCredential> credential_;
  Withdrawals withdrawals_;
  Ticket saving_ = 0;               // the write of credential_, until it is durable
  Ticket saving_list_ = 0;          // of withdrawals_
};

}  // namespace covey::client
