// Becoming a member: once, with a join token.
#pragma once
#include <string>

#include "core/base/blob_store.h"
#include "core/base/secure_random.h"
#include "core/service/identity.h"

namespace covey {

struct EnrolRequest {
  std::string folder;   // of the node's identity
  std::string token;    // the text, or "@file"
  std::string name;     // as the operator will see it
  Role role = Role::kClient;    // of the program that asks; a token of another is refused before it is spent
  std::string key_change = {};  // a file: the coordinator's key has changed since the token was made
};
// Makes the node's keys, has the token's one-time key sign them, and waits for the coordinator to
// accept; then saves the membership. Repeating it after a lost answer is safe.
// Errors: kInvalidArgument (no token, or of another role), kPermissionDenied (wrong, spent, expired), kUnavailable.
Result<Membership> enrol(const EnrolRequest& request, BlobStore& blobs, SecureRandom& random);

// Whether who has the role `held` is what a program of the role `wanted` can be. Errors: kInvalidArgument, beginning
// with `what` holds it, with the remedy.
Result<void> check_role(const std::string& what, Role held, Role wanted);

// Of a node that is a member already: whether this is the token that it enrolled with. Another one would not change
// who it is; a site that was revoked would wait for ever. A token that cannot be read any more is no reason to refuse.
// Errors: kInvalidArgument with the remedy.
Result<void> check_token(const std::string& token, const std::string& home, const Certificate& certificate);

}  // namespace covey
