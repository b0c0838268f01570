// Making join tokens.
#pragma once
#include <string>

#include "coordinator/cli/session.h"
#include "core/base/time.h"

namespace covey::cli {

struct TokenRequest {
  std::string home;  // its authority signs
  Role role = Role::kClient;
  Duration expires = std::chrono::hours(24);  // from now: until when it can be used
  Duration valid = kMembershipDefault;         // from now: how long the membership lasts
};
// Makes one-time keys, has the authority delegate to them, registers the public half with the
// coordinator, and gives the token's text. Errors: kNotFound without the authority's key, those of
// the coordinator.
Result<std::string> make_token(Session& session, const TokenRequest& request);

// The authority's key in `home`. Errors: kNotFound; kPermissionDenied where it is not the one that
// `coordinator` trusts.
Result<SigningKey> authority_of(const std::string& home, const CoordinatorAddress& coordinator);

// A new file of mode 0600. Errors: kAlreadyExists.
Result<void> save_token(const std::string& path, const std::string& text);
// Whether save_token() could, asked before a token is registered that nobody would be given. Errors: the same,
// and those of check_output().
Result<void> check_token_file(const std::string& path);

}  // namespace covey::cli
