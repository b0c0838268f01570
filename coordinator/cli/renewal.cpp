#include "coordinator/cli/renewal.h"

#include <algorithm>

#include "core/spec/setting.h"

namespace covey::cli {
namespace {

constexpr std::size_t kKeyDigitsMin = 6;
constexpr std::size_t kCandidatesNamed = 5;

bool meant(const NodeSummary& node, const std::string& text) {
  return node.name == text || (text.size() >= kKeyDigitsMin && hex(node.key.span()).starts_with(text));
}

}  // namespace

Result<NodeSummary> choose_node(const std::vector<NodeSummary>& nodes, const std::string& name_or_key) {
  std::vector<const NodeSummary*> found;
  for (const NodeSummary& node : nodes)
    if (meant(node, name_or_key)) found.push_back(&node);
  if (std::any_of(found.begin(), found.end(), [](const NodeSummary* node) { return !node->revoked; }))
    std::erase_if(found, [](const NodeSummary* node) { return node->revoked; });
  if (found.size() == 1) return *found.front();
  if (found.empty())
    return unexpected(ErrorCode::kNotFound, "no node is called " + setting_text(name_or_key) +
                                                "; give a name, or at least 6 lowercase hex digits of a key, as in `covey nodes`");
  std::string candidates;
  for (std::size_t i = 0; i < std::min(found.size(), kCandidatesNamed); ++i)
    candidates += (i == 0 ? "" : ", ") + found[i]->name + " (" + short_hex(found[i]->key) + ")";
  return unexpected(ErrorCode::kInvalidArgument,
                    setting_text(name_or_key) + " fits several nodes: " + candidates + "; give more digits");
}

std::uint64_t next_serial(const NodeSummary& node, Instant now) {
  const auto clock = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count();
  return std::max(node.renewal + 1, static_cast<std::uint64_t>(std::max<std::int64_t>(clock, 1)));
}

Renewal make_renewal(const NodeSummary& node, Instant until, Instant now, const SigningKey& authority) {
  Renewal renewal{node.key, node.signing, until, next_serial(node, now), {}};
  sign(renewal, authority);
  return renewal;
}

std::string standing_of(const NodeSummary& node, Instant now) {
  if (node.revoked || !ends_soon(node.members_until, now)) return "";
  return now >= node.members_until ? "ended" : "ends soon";
}

}  // namespace covey::cli
