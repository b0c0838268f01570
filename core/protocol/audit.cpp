#include "core/protocol/audit.h"

#include <algorithm>

#include "core/base/wire.h"
#include "core/crypto/digest.h"
#include "core/protocol/limits.h"

namespace covey {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr AuditKind kLast = AuditKind::kConsumed;

}  // namespace

const char* name_of(AuditKind kind) {
  switch (kind) {
    case AuditKind::kStarted: return "started";
    case AuditKind::kEnrolled: return "enrolled";
    case AuditKind::kRevoked: return "revoked";
    case AuditKind::kTokenMade: return "token made";
    case AuditKind::kJobSubmitted: return "job submitted";
    case AuditKind::kJobStopped: return "job stopped";
    case AuditKind::kJobEnded: return "job ended";
    case AuditKind::kRoundOpened: return "round opened";
    case AuditKind::kRoundFrozen: return "round frozen";
    case AuditKind::kReleased: return "released";
    case AuditKind::kAbandoned: return "abandoned";
    case AuditKind::kUpdateRefused: return "update refused";
    case AuditKind::kRestored: return "restored";
    case AuditKind::kRenewed: return "renewed";
    case AuditKind::kKeyChanged: return "key changed";
    case AuditKind::kKeyRetired: return "key retired";
    case AuditKind::kVouched: return "vouched";
    case AuditKind::kOutcome: return "outcome";
    case AuditKind::kBlamed: return "blamed";
    case AuditKind::kWithdrawn: return "withdrawn";
    case AuditKind::kConsumed: return "consumed";
  }
  return "unknown";
}

Bytes encode(const AuditEntry& entry) {
  COVEY_CHECK(entry.text.size() <= kErrorTextBytesMax);
  ByteWriter out;
  out.u8(kVersion).u8(static_cast<std::uint8_t>(entry.kind)).instant(entry.time);
  out.u64(entry.round.job).u32(entry.round.round).u32(entry.round.attempt);
  out.fixed(entry.actor).fixed(entry.who).fixed(entry.subject).u64(entry.number).text(entry.text);
  return out.take();
}

Result<AuditEntry> decode_audit_entry(ByteSpan bytes) {
  ByteReader in(bytes);
  if (in.u8() != kVersion) in.refuse();
  AuditEntry entry;
  const std::uint8_t kind = in.u8();
  if (kind == 0 || kind > static_cast<std::uint8_t>(kLast)) in.refuse();
  entry.kind = static_cast<AuditKind>(kind);
  entry.time = in.instant();
  entry.round = RoundKey{in.u64(), in.u32(), in.u32()};
  entry.actor = in.fixed<PeerKey>();
  entry.who = in.fixed<PeerKey>();
  entry.subject = in.fixed<Digest>();
  entry.number = in.u64();
  entry.text = in.text();
  if (entry.text.size() > kErrorTextBytesMax) in.refuse();
  COVEY_TRY_VOID(in.finish("audit entry"));
  return entry;
}

Digest roster_digest(const std::vector<PeerKey>& roster) {
  std::vector<PeerKey> sorted = roster;
  std::sort(sorted.begin(), sorted.end());
  ByteWriter out;
  out.text("covey roster v1").u64(sorted.size());
  for (const PeerKey& peer : sorted) out.fixed(peer);
  return sha256(out.bytes());
}

}  // namespace covey
