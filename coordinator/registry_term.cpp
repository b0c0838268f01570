// How long a membership lasts: its end, renewals, and who may act as what. A member whose day has come
// is let go of at the next tick as one that is revoked, but what it delivered before counts, and a
// renewal lets it in again.
#include "coordinator/registry.h"
#include "core/protocol/limits.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::size_t kEndedNamed = 5;  // in the journal, at one tick

}  // namespace

Error membership_over(const Node& node) {
  return {ErrorCode::kPermissionDenied, "the membership of " + setting_text(node.summary.name) + " ended at " +
                                            iso8601(node.members_until()) + "; the operator lets it in again with `covey renew " +
                                            node.summary.name + "`, no new token is needed"};
}

// ---- rows

Result<void> Registry::load_renewal(const PeerKey& key, ByteSpan value) {
  COVEY_TRY(const Renewal renewal, renewal_of_value(value));
  const auto at = nodes_.find(key);
  if (at == nodes_.end()) return unexpected(ErrorCode::kCorrupted, "a renewal without its node");
  if (const auto own = verify(renewal, at->second.certificate, config_.authority); !own)
    return unexpected(ErrorCode::kCorrupted, own.error().message);
  at->second.renewal = renewal;
  return {};
}

// ---- the end

const Node* Registry::ended_member(const PeerKey& peer, Instant now) const {
  const auto at = nodes_.find(peer);
  if (at == nodes_.end() || at->second.summary.revoked || now < at->second.members_until()) return nullptr;
  return &at->second;
}

// Both ways: a clock that went wrong, and was set right, must not shut anybody out.
void Registry::judge_memberships(Instant now) {
  std::string names;
  std::size_t ended = 0;
  for (auto& [key, node] : nodes_) {
    const bool over = now >= node.members_until();
    if (node.summary.revoked || over == node.ended) continue;
    node.ended = over;
    if (!over) {
      out_.after(AdmitPeer{key, Admission::kMember});
      continue;
    }
    end_membership(node);
    if (++ended <= kEndedNamed) names += (names.empty() ? "" : ", ") + node.summary.name;
  }
  if (ended == 0) return;
  if (ended > kEndedNamed) names += " and " + std::to_string(ended - kEndedNamed) + " more";
  Batch batch;
  journal_.write(batch, now, 0, "the membership of " + names + " ended; `covey renew` lets them in again");
  out_.persist(std::move(batch));
}

void Registry::end_membership(Node& node) {
  const PeerKey key = node.summary.key;
  const std::optional<Link> link = std::exchange(node.link, std::nullopt);
  node.newcomer.reset();
  node.summary.connected = false;
  if (Token* token = token_of(node)) expel(*token);
  out_.log(LogLevel::kWarning, "membership_ended",
           {{"node", node.summary.name}, {"key", short_hex(key)}, {"until", iso8601(node.members_until())}});
  if (link) {
    node.summary.last_seen = node.heard;
    node.unsaved = true;
    out_.send(*link, JoinRefused{membership_over(node), Duration{}, node.members_until()});
  }
  news_.left.push_back(key);
  out_.after(ExpelPeer{key, Expulsion::kEnded});
}

// ---- renewals

Result<void> Registry::judge_renewal(const Renewal& renewal, const Node& node, Instant now) const {
  COVEY_TRY_VOID(verify(renewal, node.certificate, config_.authority));
  const std::string name = setting_text(node.summary.name);
  if (node.summary.revoked)
    return unexpected(ErrorCode::kInvalidArgument,
                      name + " is revoked, which no renewal undoes; give that site a new token");
  const std::uint64_t newest = node.renewal ? node.renewal->serial : 0;
  if (renewal.serial <= newest)
    return unexpected(ErrorCode::kAlreadyExists, "the renewal of " + name + " has the serial " +
                                                     std::to_string(renewal.serial) + ", and number " +
                                                     std::to_string(newest) + " is here already; make a new one with `covey renew`");
  if (renewal.valid_until <= now || renewal.valid_until > now + kMembershipMax + kClockSlack)
    return unexpected(ErrorCode::kInvalidArgument, "the renewal of " + name + " lasts until " + iso8601(renewal.valid_until) +
                                                       ": must lie after now, " + iso8601(now) + ", and within ten years");
  if (renewal.valid_until < node.members_until())
    return unexpected(ErrorCode::kInvalidArgument,
                      "the renewal would end the membership of " + name + " at " + iso8601(renewal.valid_until) +
                          ", before its present end at " + iso8601(node.members_until()) +
                          "; name a longer --for, or shut it out with `covey revoke`");
  return {};
}

Result<std::string> Registry::register_renewal(const Renewal& renewal, const PeerKey& by, Instant now) {
  const auto at = nodes_.find(renewal.curve);
  if (at == nodes_.end())
    return unexpected(ErrorCode::kNotFound, "no node has the key " + short_hex(renewal.curve) + " that the renewal names");
  Node& node = at->second;
  const std::string text = node.summary.name + " is a member until " + iso8601(renewal.valid_until);
  if (node.renewal == renewal) return text + " already";
  COVEY_TRY_VOID(judge_renewal(renewal, node, now));
  renew(node, renewal, by, now);
  return text;
}

void Registry::renew_given(const Renewal& renewal, Instant now) {
  const auto at = nodes_.find(renewal.curve);
  if (at != nodes_.end() && at->second.renewal && at->second.renewal->serial >= renewal.serial) return;
  if (const auto done = register_renewal(renewal, PeerKey{}, now); !done)
    out_.log(LogLevel::kError, "renewal_refused", {{"node", name_of(renewal.curve)}, {"reason", done.error().message}});
}

void Registry::renew(Node& node, const Renewal& renewal, const PeerKey& by, Instant now) {
  const PeerKey key = node.summary.key;
  const std::string until = iso8601(renewal.valid_until);
  node.renewal = renewal;
  Batch batch;
  batch.put(renewal_key(key), renewal_value(renewal));
  journal_.write(batch, now, 0, node.summary.name + " (" + short_hex(key) + ") renewed until " + until);
  AuditEntry act;
  act.kind = AuditKind::kRenewed;
  act.time = now;
  act.actor = by;
  act.who = key;
  act.number = renewal.serial;
  act.text = std::string(covey::name_of(node.summary.role)) + " " + node.summary.name + " until " + until;
  records_.persist(std::move(batch), {std::move(act)});
  if (std::exchange(node.ended, false)) out_.after(AdmitPeer{key, Admission::kMember});
  tell_renewal(node);
  out_.log(LogLevel::kInfo, "node_renewed",
           {{"node", node.summary.name}, {"key", short_hex(key)}, {"until", until}, {"serial", renewal.serial}});
}

void Registry::tell_renewal(const Node& node) {
  if (node.link && node.renewal) out_.send(*node.link, MembershipRenewed{*node.renewal});
}

// ---- roles

Result<Node*> Registry::authorise(const PeerKey& peer, Role role, Instant now) {
  const auto at = nodes_.find(peer);
  if (at == nodes_.end())
    return unexpected(ErrorCode::kPermissionDenied,
                      "the key " + short_hex(peer) + " is not enrolled with this coordinator; enrol with a join token first");
  Node& node = at->second;
  const std::string name = setting_text(node.summary.name);
  if (node.summary.revoked)
    return unexpected(ErrorCode::kPermissionDenied, name + " was revoked; ask for a new join token");
  if (node.ended || now >= node.members_until()) return unexpected(membership_over(node));
  if (node.summary.role == role) return &node;
  return unexpected(ErrorCode::kPermissionDenied, name + " has the role " + covey::name_of(node.summary.role) +
                                                      "; this needs an identity made from a token with --role " +
                                                      covey::name_of(role));
}

}  // namespace covey
