// Making renewals: a member stays, or comes back, without a new token.
#pragma once
#include <string>
#include <vector>

#include "coordinator/cli/session.h"
#include "core/base/time.h"

namespace covey::cli {

// The one node that is meant: by its name, or at least 6 hex digits of its key; one that is not revoked
// before one that is. Errors: kNotFound, kInvalidArgument naming the candidates.
Result<NodeSummary> choose_node(const std::vector<NodeSummary>& nodes, const std::string& name_or_key);

// Higher than every serial before: the last one plus one, or the seconds since 1970 where the
// coordinator lost its last one with an older state.
std::uint64_t next_serial(const NodeSummary& node, Instant now);

Renewal make_renewal(const NodeSummary& node, Instant until, Instant now, const SigningKey& authority);

// How a node's membership stands, for a person: "ended", "ends soon" or empty.
std::string standing_of(const NodeSummary& node, Instant now);

}  // namespace covey::cli
