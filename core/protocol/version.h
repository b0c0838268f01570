// Which version of the protocol two peers speak: the newest that both know. Join carries the client's
// range, JoinAccepted the choice; both travel inside CURVE, so nobody on the way can lower it, and both
// sides log what was chosen.
#pragma once
#include <algorithm>
#include <string>

#include "core/base/result.h"
#include "core/protocol/limits.h"

namespace covey {

struct ProtocolRange {
  std::uint32_t oldest = kProtocolVersionMin;
  std::uint32_t newest = kProtocolVersion;
  bool operator==(const ProtocolRange&) const = default;
};

inline std::string to_text(const ProtocolRange& range) {
  return range.oldest == range.newest
             ? "version " + std::to_string(range.newest)
             : "versions " + std::to_string(range.oldest) + " to " + std::to_string(range.newest);
}

// Errors: kUnsupported naming both ranges and who is to be upgraded.
inline Result<std::uint32_t> negotiate(const ProtocolRange& coordinator, const ProtocolRange& node) {
  const std::uint32_t newest = std::min(coordinator.newest, node.newest);
  if (newest >= std::max(coordinator.oldest, node.oldest)) return newest;
  return unexpected(ErrorCode::kUnsupported,
                    "the coordinator speaks protocol " + to_text(coordinator) + ", this node " + to_text(node) +
                        "; install a newer Covey on the " +
                        (node.newest < coordinator.oldest ? "node" : "coordinator"));
}

}  // namespace covey
