// The coordinator's CURVE key can be replaced while it serves. A KeyChange, signed by the authority,
// names the key and ports that follow; both keys are served until `old_until`. Whoever pins the
// authority can verify one offline, and needs only the newest, however many were missed.
// docs/identity.md has the bytes.
#pragma once
#include "core/protocol/certificate.h"

namespace covey {

inline constexpr Duration kOverlapMin = std::chrono::minutes(1);        // what `covey rotate-key` offers
inline constexpr Duration kOverlapMax = std::chrono::hours(24 * 90);
inline constexpr Duration kOverlapDefault = std::chrono::hours(24 * 14);
inline constexpr std::uint64_t kKeyChangeSerialMax = std::uint64_t{1} << 48;

// Where one key is served, as nodes reach it.
struct KeyPlace {
  PeerKey key;
  std::uint16_t control_port = 0;
  std::uint16_t bulk_port = 0;
  bool operator==(const KeyPlace&) const = default;
};

struct KeyChange {
  VerifyKey record;          // which coordinator: its record key, which never changes
  KeyPlace before;
  KeyPlace after;
  std::uint64_t serial = 0;  // 1 to kKeyChangeSerialMax; of several the highest counts
  Instant not_before;        // nodes stay with the key before until then
  Instant old_until;         // the key before is served until then, and erased
  Signature signature;       // by the authority, over everything above
  bool operator==(const KeyChange&) const = default;
};
Bytes encode(const KeyChange& change);
// Errors: kInvalidMessage, kCorrupted; kInvalidData for a value that no change can have (a port 0,
// a port or key twice, times out of order).
Result<KeyChange> decode_key_change(ByteSpan bytes);
void sign(KeyChange& change, const SigningKey& authority);
// Whether it is of the coordinator with this record key, and the authority's. Whether it is newer than
// another is the caller's. Errors: kPermissionDenied.
Result<void> verify(const KeyChange& change, const VerifyKey& authority, const VerifyKey& record);

// `address` with another key and its ports.
CoordinatorAddress moved_to(CoordinatorAddress address, const KeyPlace& place);

}  // namespace covey
