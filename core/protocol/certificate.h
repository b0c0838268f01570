// Who may take part. authority -> token -> node: the authority (an offline key) signs a Delegation
// to a one-time key that travels in a join token; the node makes its own keys and the one-time key
// signs the Certificate. docs/identity.md has the bytes.
#pragma once
#include <string>

#include "core/base/bytes.h"
#include "core/base/time.h"
#include "core/crypto/curve_key.h"
#include "core/crypto/signing_key.h"

namespace covey {

enum class Role : std::uint8_t { kClient = 1, kOperator = 2 };
const char* name_of(Role role);
Result<Role> role_from(std::string_view name);

using TokenId = FixedBytes<16, struct TokenIdTag>;

// The public half of a join token.
struct Delegation {
  TokenId token;
  Role role = Role::kClient;
  Instant expires;
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
// The whole chain but for the delegation's expiry, which counts only at enrolment.
Result<void> verify(const Certificate& certificate, const VerifyKey& authority);

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
