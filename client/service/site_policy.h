// What a site's owner sets for secure aggregation: the least that a coordinator must propose before this
// site gives it a masked update. From flags or client.toml; docs/secure_aggregation.md explains the terms.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "privacy/secagg_terms.h"

namespace covey {

// The defaults are ClientPolicy's own; a site can ask for more, not for less.
struct SecureFloors {
  std::uint32_t members_min = ClientPolicy{}.members_min;
  std::uint32_t survivors_min = ClientPolicy{}.survivors_min;
  std::uint32_t honest_min = ClientPolicy{}.honest_min;    // survivors beyond those that may be corrupt
  std::uint32_t corrupt_min = ClientPolicy{}.corrupt_min;  // members that may be corrupt: at least so many are reckoned with
  double gamma_min = 0;                                    // share of the members asked that is reckoned with as corrupt
  std::uint32_t sigma_min = ClientPolicy{}.sigma_min;      // privacy fails with chance <= 2^-sigma
  double dropout_max = 0.3;                                // share of honest members that may drop out
  std::string pinned_file;                                 // empty: whomever the authority vouches for
};

// Errors: kInvalidArgument naming the setting, its value and the bounds; those of read_pinned_keys.
Result<ClientPolicy> secure_policy_of(const SecureFloors& floors, const VerifyKey& authority);

// Signing keys of the only nodes that this site aggregates with: 64 hex digits a line, as `signing` in
// `covey nodes --json`; blank lines and what follows '#' are left out.
// Errors: those of read_file; kInvalidArgument naming the line, or a file without keys.
Result<std::vector<VerifyKey>> read_pinned_keys(const std::string& path);

}  // namespace covey
