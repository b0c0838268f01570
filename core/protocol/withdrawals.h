// Which of the authority's credentials count no more: all of epochs before `epoch`, and in it those of `keys`.
// The authority signs the list whole, so that no coordinator can leave a node out of it: members keep the newest
// they have seen, insist on it, and aggregate with no key that it names. docs/identity.md has the bytes.
//
// It names keys, not subjects: a site whose node was revoked comes back under its name with another key.
#pragma once
#include <cstdint>
#include <vector>

#include "core/crypto/digest.h"
#include "core/protocol/credential.h"

namespace covey {

inline constexpr std::size_t kWithdrawnKeysMax = 256;  // in one epoch: the list fits a control frame
inline constexpr std::uint32_t kCredentialEpochMax = 1U << 24U;
inline constexpr std::uint32_t kWithdrawalNumberMax = 1U << 30U;

struct Withdrawals {
  std::uint32_t number = 0;  // of the list: only grows; 0: the authority has withdrawn nothing yet
  std::uint32_t epoch = kCredentialEpochFirst;
  std::vector<VerifyKey> keys;  // ascending, at most kWithdrawnKeysMax
  Signature signature;          // by the authority, over everything above
  bool operator==(const Withdrawals&) const = default;
};
inline constexpr std::string_view kWithdrawalsDomain = "covey withdrawals v1";

Bytes signed_bytes(const Withdrawals& list);
Bytes encode(const Withdrawals& list);
// Errors: kCorrupted for what is malformed or out of bounds.
Result<Withdrawals> decode_withdrawals(ByteSpan bytes);

// What members agree on in their terms: zeros for number 0, else SHA-256 of the tag "covey withdrawals root v1" and
// the signed bytes, each with its length (u32).
Digest root_of(const Withdrawals& list);
bool names(const Withdrawals& list, const VerifyKey& key);

// Errors: kPermissionDenied: it is not this authority's.
Result<void> verify(const Withdrawals& list, const VerifyKey& authority);
// Whether `list` may take the place of `held`: a higher number, no lower epoch, and in one epoch no key less.
// Errors: kAlreadyExists for a number that is no higher; kInvalidArgument for the others.
Result<void> follows(const Withdrawals& list, const Withdrawals& held);

// The next list, signed: with `key` on it. Errors: kResourceExhausted where it is full, with the remedy.
Result<Withdrawals> withdraw(const Withdrawals& held, const VerifyKey& key, const SigningKey& authority);
// The next list, signed: every credential there is counts no more. Errors: kResourceExhausted.
Result<Withdrawals> begin_epoch(const Withdrawals& held, const SigningKey& authority);

}  // namespace covey
