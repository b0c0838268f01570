// Credentials for secure aggregation: which members have one, and those that the operator issues. The
// authority's key is never here: we verify what it signed, keep it, and hand it to its node.
#include <algorithm>

#include "coordinator/registry.h"
#include "core/protocol/limits.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::size_t kVouchedNamed = 5;  // in the journal, of one request

}  // namespace

// ---- rows

Result<void> Registry::load_credential(const PeerKey& key, ByteSpan value) {
  COVEY_TRY(const MemberCredential credential, credential_of_value(value));
  const auto at = nodes_.find(key);
  if (at == nodes_.end()) return unexpected(ErrorCode::kCorrupted, "a credential without its node");
  // Of whatever epoch: one that counts no more is replaced when the next is issued.
  if (const auto own = verify(credential, at->second.certificate, config_.authority, credential.epoch); !own)
    return unexpected(ErrorCode::kCorrupted, own.error().message);
  at->second.credential = credential;
  return {};
}

Result<void> Registry::load_withdrawals(ByteSpan value) {
  COVEY_TRY(const Withdrawals list, withdrawals_of_value(value));
  if (const auto own = verify(list, config_.authority); !own) return unexpected(ErrorCode::kCorrupted, own.error().message);
  withdrawals_ = list;
  return {};
}

// ---- look-ups

bool Registry::vouched(const Node& node) const {
  return node.credential && node.credential->epoch == withdrawals_.epoch && !node.summary.revoked &&
         !names(withdrawals_, node.credential->key);
}

bool Registry::lacks_credential(const Node& node) const {
  return node.summary.role == Role::kClient && !node.summary.revoked && !node.ended && !vouched(node);
}

std::vector<Certificate> Registry::unvouched(const PeerKey& after) const {
  std::vector<Certificate> rows;
  for (auto at = nodes_.upper_bound(after); at != nodes_.end() && rows.size() < kVouchPageRowsMax; ++at)
    if (lacks_credential(at->second)) rows.push_back(at->second.certificate);
  return rows;
}

std::vector<PeerKey> Registry::vouched_of(const std::vector<PeerKey>& nodes) const {
  std::vector<PeerKey> some;
  for (const PeerKey& key : nodes) {
    const auto at = nodes_.find(key);
    if (at != nodes_.end() && vouched(at->second)) some.push_back(key);
  }
  return some;
}

// ---- issuing

// Only a member's own: a revoked node's is worth nothing here, whoever shows it again.
Result<const Node*> Registry::judge_credential(const NodeCredential& issued, Instant now) const {
  const auto at = nodes_.find(issued.node);
  if (at == nodes_.end())
    return unexpected(ErrorCode::kNotFound, "no node has the key " + short_hex(issued.node) + " that the credential is for");
  const Node& node = at->second;
  const std::string name = setting_text(node.summary.name);
  if (node.summary.role != Role::kClient)
    return unexpected(ErrorCode::kInvalidArgument,
                      name + " has the role " + covey::name_of(node.summary.role) + "; only clients aggregate");
  if (node.summary.revoked)
    return unexpected(ErrorCode::kPermissionDenied, name + " was revoked, and its credential ended with it; give that site a new token");
  if (node.ended || now >= node.members_until()) return unexpected(membership_over(node));
  COVEY_TRY_VOID(verify(issued.credential, node.certificate, config_.authority, withdrawals_.epoch));
  if (names(withdrawals_, issued.credential.key))
    return unexpected(ErrorCode::kPermissionDenied, "the authority withdrew the credential of " + name + " for this key (list " +
                                                        std::to_string(withdrawals_.number) + "); give that site a new token");
  return &node;
}

Result<std::string> Registry::issue(const std::vector<NodeCredential>& credentials, const PeerKey& by, Instant now) {
  if (credentials.empty() || credentials.size() > kVouchPageRowsMax)
    return unexpected(ErrorCode::kInvalidArgument, std::to_string(credentials.size()) + " credentials in one request; give 1 to " +
                                                       std::to_string(kVouchPageRowsMax));
  std::map<PeerKey, MemberCredential> fresh;
  for (const NodeCredential& issued : credentials) {
    COVEY_TRY(const Node* const node, judge_credential(issued, now));
    if (node->credential != issued.credential) fresh.insert_or_assign(issued.node, issued.credential);
  }
  if (fresh.empty()) return std::string("they have these credentials already");
  Batch batch;
  std::vector<AuditEntry> acts;
  std::string names;
  for (const auto& [key, credential] : fresh) {
    Node& node = nodes_.at(key);
    node.credential = credential;
    batch.put(credential_key(key), credential_value(credential));
    AuditEntry act;
    act.kind = AuditKind::kVouched;
    act.time = now;
    act.actor = by;
    act.who = key;
    act.number = credential.epoch;
    act.text = node.summary.name;
    acts.push_back(std::move(act));
    if (acts.size() <= kVouchedNamed) names += (names.empty() ? "" : ", ") + node.summary.name;
  }
  if (fresh.size() > kVouchedNamed) names += " and " + std::to_string(fresh.size() - kVouchedNamed) + " more";
  journal_.write(batch, now, 0, "the authority vouches for " + names);
  records_.persist(std::move(batch), std::move(acts));
  for (const auto& [key, credential] : fresh) {
    const Node& node = nodes_.at(key);
    tell_credential(node);
    out_.log(LogLevel::kInfo, "node_vouched", {{"node", node.summary.name}, {"key", short_hex(key)}, {"epoch", credential.epoch}});
  }
  return "the authority vouches for " + names;
}

// ---- withdrawing

Result<std::string> Registry::register_withdrawals(const Withdrawals& list, const PeerKey& by, Instant now) {
  const std::string text = "list " + std::to_string(list.number) + " of withdrawn credentials counts: epoch " +
                           std::to_string(list.epoch) + ", " + std::to_string(list.keys.size()) + " keys";
  if (list == withdrawals_) return text;
  COVEY_TRY_VOID(verify(list, config_.authority));
  COVEY_TRY_VOID(follows(list, withdrawals_));
  withdrawals_ = list;
  Batch batch;
  batch.put(std::string(kWithdrawalsRow), withdrawals_value(list));
  journal_.write(batch, now, 0, text);
  AuditEntry act;
  act.kind = AuditKind::kWithdrawn;
  act.time = now;
  act.actor = by;
  act.subject = root_of(list);
  act.number = list.number;
  act.text = "epoch " + std::to_string(list.epoch) + ", " + std::to_string(list.keys.size()) + " keys";
  records_.persist(std::move(batch), {std::move(act)});
  for (const auto& [key, node] : nodes_) tell_credential(node);
  out_.log(LogLevel::kInfo, "credentials_withdrawn", {{"number", list.number}, {"epoch", list.epoch}, {"keys", list.keys.size()}});
  return text;
}

// The list first: by it the node judges its credential.
void Registry::tell_credential(const Node& node) {
  if (!node.link || node.summary.role != Role::kClient) return;
  if (withdrawals_.number != 0) out_.send(*node.link, CredentialsWithdrawn{withdrawals_});
  if (vouched(node)) out_.send(*node.link, CredentialIssued{*node.credential});
}

void Registry::tell_standing(const Node& node) {
  tell_renewal(node);
  tell_credential(node);
}

}  // namespace covey
