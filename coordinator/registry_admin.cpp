// The operator's side of the registry: tokens, revocation, the list of nodes.
#include <algorithm>
#include <optional>
#include <utility>

#include "coordinator/registry.h"
#include "core/protocol/limits.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::size_t kKeyDigitsMin = 6;
constexpr std::size_t kCandidatesNamed = 5;
constexpr std::size_t kDeviceShown = 40;  // bytes: 50 rows fit a control frame
constexpr std::size_t kUnspentTokensMax = 100'000;

bool is_key_prefix(const std::string& text) {
  return text.size() >= kKeyDigitsMin && text.size() <= 2 * PeerKey::kSize &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

}  // namespace

Result<std::string> Registry::register_token(const Delegation& delegation, const PeerKey& by, Instant now) {
  COVEY_TRY_VOID(verify(delegation, config_.authority, now));
  if (delegation.members_until <= now || delegation.members_until > now + kMembershipMax + kClockSlack)
    return unexpected(ErrorCode::kInvalidArgument,
                      "memberships of this token would last until " + iso8601(delegation.members_until) +
                          ": must lie after now, " + iso8601(now) + ", and within ten years; name another --valid");
  const std::string name = hex(delegation.token.span());
  if (const auto at = tokens_.find(delegation.token); at != tokens_.end()) {
    if (at->second.row.delegation == delegation) return "token " + name + " is registered already";
    return unexpected(ErrorCode::kAlreadyExists, "another token has the id " + name + "; make a new one");
  }
  if (delegation.one_time_curve.is_zero() || nodes_.contains(delegation.one_time_curve))
    return unexpected(ErrorCode::kInvalidArgument, "the token's one-time key belongs to a node; make a new token");
  for (const auto& [id, token] : tokens_)
    if (token.row.delegation.one_time_curve == delegation.one_time_curve)
      return unexpected(ErrorCode::kAlreadyExists, "another token has this one-time key; make a new token");
  if (tokens_.size() >= config_.nodes_max + kUnspentTokensMax)
    return unexpected(ErrorCode::kResourceExhausted, "too many tokens wait; let some expire and restart the coordinator");
  Token& token = tokens_[delegation.token];
  token.row.delegation = delegation;
  token.row.registered = now;
  Batch batch;
  batch.put(token_key(delegation.token), encode(token.row));
  journal_.write(batch, now, 0,
                 std::string(covey::name_of(delegation.role)) + " token " + name + " registered, expires " +
                     iso8601(delegation.expires));
  AuditEntry act;
  act.kind = AuditKind::kTokenMade;
  act.time = now;
  act.actor = by;
  act.text = std::string(covey::name_of(delegation.role)) + " " + name;
  records_.persist(std::move(batch), {std::move(act)});
  admit(token);
  out_.log(LogLevel::kInfo, "token_registered",
           {{"token", name}, {"role", covey::name_of(delegation.role)}, {"expires", iso8601(delegation.expires)}});
  return "token " + name + " registered";
}

Result<Node*> Registry::resolve(const std::string& name_or_key) {
  const auto named = names_.find(name_or_key);
  std::vector<Node*> found;
  if (named != names_.end()) found.push_back(&nodes_.at(named->second));
  for (auto& [key, node] : nodes_)
    if (node.summary.revoked && node.summary.name == name_or_key) found.push_back(&node);
  if (is_key_prefix(name_or_key))
    for (auto& [key, node] : nodes_)
      if (hex(key.span()).starts_with(name_or_key) && std::find(found.begin(), found.end(), &node) == found.end())
        found.push_back(&node);
  // A revoked node is meant only when no other fits.
  const bool any_live = std::any_of(found.begin(), found.end(), [](const Node* n) { return !n->summary.revoked; });
  if (any_live) std::erase_if(found, [](const Node* n) { return n->summary.revoked; });
  if (found.size() == 1) return found.front();
  if (found.empty())
    return unexpected(ErrorCode::kNotFound, "no node is called " + setting_text(name_or_key) +
                                                "; give a name, or at least 6 lowercase hex digits of a key");
  std::string candidates;
  for (std::size_t i = 0; i < std::min(found.size(), kCandidatesNamed); ++i)
    candidates += (i == 0 ? "" : ", ") + found[i]->summary.name + " (" + short_hex(found[i]->summary.key) + ")";
  if (found.size() > kCandidatesNamed) candidates += " and " + std::to_string(found.size() - kCandidatesNamed) + " more";
  return unexpected(ErrorCode::kInvalidArgument, setting_text(name_or_key) + " fits several nodes: " + candidates +
                                                     "; give more digits");
}

Result<std::string> Registry::revoke(const std::string& name_or_key, const PeerKey& by, Instant now) {
  COVEY_TRY(Node* const node, resolve(name_or_key));
  const PeerKey key = node->summary.key;
  const std::string name = node->summary.name + " (" + short_hex(key) + ")";
  if (node->summary.revoked) return name + " is revoked already";
  const auto operators = std::count_if(nodes_.begin(), nodes_.end(), [](const auto& entry) {
    return entry.second.summary.role == Role::kOperator && !entry.second.summary.revoked && !entry.second.ended;
  });
  if (node->summary.role == Role::kOperator && !node->ended && operators == 1)
    return unexpected(ErrorCode::kInvalidArgument,
                      name + " is the only operator: nobody could give another order; enrol a second one first "
                             "(`covey token --role operator`)");
  node->summary.revoked = true;
  node->summary.connected = false;
  const std::optional<Link> link = std::exchange(node->link, std::nullopt);
  if (link) node->summary.last_seen = node->heard;
  node->newcomer.reset();
  names_.erase(node->summary.name);
  Batch batch;
  persist_node(*node, batch);
  if (std::exchange(node->credential, std::nullopt)) batch.erase(credential_key(key));
  journal_.write(batch, now, 0, name + " revoked");
  AuditEntry act;
  act.kind = AuditKind::kRevoked;
  act.time = now;
  act.actor = by;
  act.who = key;
  act.text = node->summary.name;
  records_.persist(std::move(batch), {std::move(act)});
  if (Token* token = token_of(*node)) expel(*token);
  if (link)  // zero: for good
    out_.send(*link, JoinRefused{Error{ErrorCode::kPermissionDenied, "the operator revoked " + setting_text(node->summary.name) +
                                                                         "; to take part again, enrol with a new join token in a new folder (covey-client --home NEW)"},
                                 Duration{}, Instant{}});
  out_.after(ExpelPeer{key});
  out_.log(LogLevel::kWarning, "node_revoked", {{"node", node->summary.name}, {"key", short_hex(key)}});
  news_.revoked.push_back(key);
  return name + " revoked";
}

std::vector<NodeSummary> Registry::page(std::uint32_t after) const {
  std::vector<NodeSummary> rows;
  if (after >= nodes_.size()) return rows;
  for (auto at = std::next(nodes_.begin(), after); at != nodes_.end() && rows.size() < kPageRowsMax; ++at) {
    NodeSummary row = at->second.summary;
    if (at->second.link) row.last_seen = at->second.heard;
    row.signing = at->second.certificate.signing;
    row.members_until = at->second.members_until();
    if (at->second.renewal) row.renewal = at->second.renewal->serial;
    if (vouched(at->second)) row.credential_epoch = at->second.credential->epoch;
    row.capability.device = shortened(std::move(row.capability.device), kDeviceShown);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace covey
