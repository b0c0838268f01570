// The authority's word that one subject signs with one key: what secure aggregation counts its members
// by. A certificate says who may talk to the coordinator, which keeps the names; a credential is what
// the *other members* check, so that a coordinator cannot make members up. docs/identity.md has the
// bytes and what it does not protect against.
#pragma once
#include <string_view>

#include "core/protocol/certificate.h"

namespace covey {

using SubjectId = FixedBytes<16, struct SubjectIdTag>;        // who is counted: a person, a device, a site

// Of the authority's credentials: those of an earlier epoch count no more. An authority that withdraws all
// it has issued begins the next (core/protocol/withdrawals.h).
inline constexpr std::uint32_t kCredentialEpochFirst = 1;

struct MemberCredential {
  SubjectId subject;
  std::uint32_t epoch = 0;
  VerifyKey key;
  Signature signature;  // by the authority, over everything above
  bool operator==(const MemberCredential&) const = default;
};
inline constexpr std::size_t kCredentialBytes = 16 + 4 + 32 + 64;
inline constexpr std::string_view kCredentialDomain = "covey secagg member v1";

void sign(MemberCredential& credential, const SigningKey& authority);
Bytes signed_bytes(const MemberCredential& credential);

Bytes encode(const MemberCredential& credential);  // kCredentialBytes
// Errors: kCorrupted for any other number of bytes.
Result<MemberCredential> decode_credential(ByteSpan bytes);

// The subject of a node is its certified name, so that two nodes of one name are counted once: the first
// 16 bytes of SHA-256 over the tag "covey secagg subject v1" and the name, each with its length (u32).
SubjectId subject_of(std::string_view node_name);

// The credential of the node whose certificate this is, signed. The caller has verified the certificate:
// whoever signs without doing so lets the coordinator make members up.
MemberCredential credential_for(const Certificate& node, const SigningKey& authority,
                                std::uint32_t epoch = kCredentialEpochFirst);

// Whether `credential` is the authority's and of the epoch that counts. Errors: kPermissionDenied.
Result<void> verify(const MemberCredential& credential, const VerifyKey& authority, std::uint32_t epoch);
// The same, and whether it is `node`'s own: its name's subject and its signing key. Errors: kPermissionDenied.
Result<void> verify(const MemberCredential& credential, const Certificate& node, const VerifyKey& authority,
                    std::uint32_t epoch);

}  // namespace covey
