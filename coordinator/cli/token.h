// Making join tokens.
#pragma once
#include <string>

#include "coordinator/cli/session.h"
#include "core/base/time.h"

namespace covey::cli {

struct TokenRequest {
  std::string home;  // its authority signs
  Role role = Role::kClient;
  Duration valid = std::chrono::hours(24);
};
// Makes one-time keys, has the authority delegate to them, registers the public half with the
// coordinator, and gives the token's text. Errors: kNotFound without the authority's key, those of
// the coordinator.
Result<std::string> make_token(Session& session, const TokenRequest& request);

// A new file of mode 0600. Errors: kAlreadyExists.
Result<void> save_token(const std::string& path, const std::string& text);

}  // namespace covey::cli
