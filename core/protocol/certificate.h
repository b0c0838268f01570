// Who may take part. authority -> token -> node: the authority (an offline key) signs a Delegation
// to a one-time key that travels in a join token; the node makes its own keys and the one-time key
// signs the Certificate. A membership ends on the day that its delegation says, or the newest
// Renewal, which the authority signs for the node itself. docs/identity.md has the bytes.
#pragma once
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/base/time.h"
#include "core/crypto/curve_key.h"
#include "core/crypto/signing_key.h"

namespace covey {

// An aggregator may enrol and join; no job selects it (docs/architecture.md, section 9).
enum class Role : std::uint8_t { kClient = 1, kOperator = 2, kAggregator = 3 };
inline constexpr Role kRoleLast = Role::kAggregator;
const char* name_of(Role role);
Result<Role> role_from(std::string_view name);

// How long memberships last from the day their token or renewal is made.
inline constexpr Duration kMembershipMin = std::chrono::hours(1);
inline constexpr Duration kMembershipMax = std::chrono::hours(24 * 3653);  // ten years
inline constexpr Duration kMembershipDefault = std::chrono::hours(24 * 365);
inline constexpr Duration kMembershipWarning = std::chrono::hours(24 * 30);  // before the end
inline constexpr std::uint64_t kRenewalSerialMax = std::uint64_t{1} << 48;

using TokenId = FixedBytes<16, struct TokenIdTag>;

// The public half of a join token.
struct Delegation {
  TokenId token;
  Role role = Role::kClient;
  Instant expires;             // of the token: no enrolment from then on
  Instant members_until;       // of the membership made with it, unless it is renewed
  PeerKey one_time_curve;      // admitted by the coordinator for the enrolment message only
  VerifyKey one_time_signing;
  Signature signature;         // by the authority, over everything above
  bool operator==(const Delegation&) const = default;
};
Bytes encode(const Delegation& delegation);
Result<Delegation> decode_delegation(ByteSpan bytes);
void sign(Delegation& delegation, const SigningKey& authority);
// Errors: kPermissionDenied: bad signature, expired (with both times).
Result<void> verify(const Delegation& delegation, const VerifyKey& authority, Instant now);

// [A-Za-z0-9._-], 1 to kNameBytesMax of them. Errors: kInvalidArgument.
Result<void> check_node_name(const std::string& name);

struct Certificate {
  std::string name;            // chosen by the node, [A-Za-z0-9._-], at most kNameBytesMax
  VerifyKey signing;
  PeerKey curve;               // the node's identity on the network
  Delegation delegation;
  Signature signature;         // by the delegation's one-time signing key, over everything above
  Role role() const { return delegation.role; }
  bool operator==(const Certificate&) const = default;
};
Bytes encode(const Certificate& certificate);
Result<Certificate> decode_certificate(ByteSpan bytes);
void sign(Certificate& certificate, const SigningKey& one_time);
// The whole chain but for the delegation's expiry, which counts only at enrolment, and the end of
// the membership.
Result<void> verify(const Certificate& certificate, const VerifyKey& authority);

// Lets a member stay (or come back) until another day. Of several the highest serial counts.
struct Renewal {
  PeerKey curve;               // whose it is
  VerifyKey signing;
  Instant valid_until;
  std::uint64_t serial = 0;    // 1 to kRenewalSerialMax
  Signature signature;         // by the authority, over everything above
  bool operator==(const Renewal&) const = default;
};
Bytes encode(const Renewal& renewal);
Result<Renewal> decode_renewal(ByteSpan bytes);
void sign(Renewal& renewal, const SigningKey& authority);
// Whether it is `node`'s own and the authority's. Whether it is newer than another is the caller's.
// Errors: kPermissionDenied.
Result<void> verify(const Renewal& renewal, const Certificate& node, const VerifyKey& authority);

// The first moment at which the membership is over.
Instant membership_end(const Certificate& node, const std::optional<Renewal>& newest);
// Said before it ends: from kMembershipWarning on. Safe for every `end`, however far.
bool ends_soon(Instant end, Instant now);

// What a client needs to reach and trust its coordinator.
struct CoordinatorAddress {
  std::string host;            // a name or an address
  std::uint16_t control_port = 0;
  std::uint16_t bulk_port = 0;
  PeerKey curve;               // the coordinator's pinned key
  VerifyKey authority;
  VerifyKey record;            // signs the coordinator's audit chain and release ledger (chain.h)
  bool operator==(const CoordinatorAddress&) const = default;
};
Bytes encode(const CoordinatorAddress& address);
Result<CoordinatorAddress> decode_address(ByteSpan bytes);

// The whole token, one line of text for a person to carry: "covey1-" and base64url. It holds
// one-time secrets: never logged, mode 0600 when written to a file.
struct JoinToken {
  CoordinatorAddress coordinator;
  Delegation delegation;
  SigningKey one_time_signing;
  CurveKey one_time_curve;
};
std::string to_text(const JoinToken& token);
Result<JoinToken> join_token_from(std::string_view text);

}  // namespace covey
