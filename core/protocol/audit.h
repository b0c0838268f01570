// The body of an audit record: one administrative act, roster, round or release.
#pragma once
#include <string>

#include "core/protocol/chain.h"
#include "core/protocol/message.h"

namespace covey {

enum class AuditKind : std::uint8_t {
  kStarted = 1,    // the coordinator; number: its epoch
  kEnrolled,       // who: the node; text: role and name
  kRevoked,        // who: the node; actor: the operator
  kTokenMade,      // actor: the operator; text: role and token id
  kJobSubmitted,   // actor; subject: hash of the TOML as submitted; text: the job's name
  kJobStopped,     // actor
  kJobEnded,       // number: state; text: why
  kRoundOpened,    // subject: hash of the roster (roster_digest); number: members
  kRoundFrozen,    // subject: hash of the contributions (contributions_digest); number: how many
  kReleased,       // subject: the new model's manifest; number: ledger sequence that allowed it
  kAbandoned,      // text: why
  kUpdateRefused,  // who: the client; text: why
  kRestored,       // from a backup; number: the epoch before
  kRenewed,        // who: the node; actor: the operator; number: serial; text: role, name and until when
  kKeyChanged,     // who: the coordinator's next CURVE key; actor; number: serial; text: ports, and until when the key before is served
  kKeyRetired,     // who: the CURVE key that is no longer served; number: serial of the change
  kVouched,        // who: the node; actor: the operator; number: the credential's epoch; text: name
  kOutcome,        // of a secure aggregation; subject: hash of the certificate; number: 1 COMMIT, 2 ABORT
  kBlamed,         // who: the client that was caught in one; text: at what
  kWithdrawn,      // actor; subject: root of the list of withdrawn credentials; number: of the list; text: epoch, how many keys
  kConsumed,       // a round ended without its sum; subject: the same model's next manifest; number: its ledger record, 0: none; text: why
};
const char* name_of(AuditKind kind);  // "started", "enrolled", ...

struct AuditEntry {
  AuditKind kind = AuditKind::kStarted;
  Instant time;
  RoundKey round;       // job 0: of none; round 0: of the job
  PeerKey actor;        // zeros: the coordinator itself
  PeerKey who;          // zeros: nobody
  Digest subject;       // zeros: none
  std::uint64_t number = 0;
  std::string text;     // at most kErrorTextBytesMax
  bool operator==(const AuditEntry&) const = default;
};

Bytes encode(const AuditEntry& entry);
Result<AuditEntry> decode_audit_entry(ByteSpan bytes);  // errors: kCorrupted

// SHA-256 over the number of keys and the keys in ascending order.
Digest roster_digest(const std::vector<PeerKey>& roster);

}  // namespace covey
