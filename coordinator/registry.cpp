#include "coordinator/registry.h"

#include <algorithm>
#include <cmath>

#include "core/protocol/limits.h"
#include "core/protocol/records.h"
#include "core/spec/setting.h"

namespace covey {
namespace {

constexpr std::string_view kChallengeTimer = "challenge/";
constexpr std::string_view kExpelTimer = "expel/";
constexpr Duration kIdentityRetry = std::chrono::seconds(10);
constexpr Duration kSeenSaved = std::chrono::minutes(15);  // how far a restart may put "last seen" back
constexpr Duration kReconnectEach = std::chrono::microseconds(500);  // a handshake's cost here, and that of its Join
constexpr Duration kReconnectWindowMin = std::chrono::milliseconds(200);

std::string challenge_timer(const PeerKey& peer) { return std::string(kChallengeTimer) + hex(peer.span()); }
std::string expel_timer(const TokenId& token) { return std::string(kExpelTimer) + hex(token.span()); }

Capability sane(Capability capability) {
  capability.device = shortened(std::move(capability.device), kNameBytesMax);
  if (!std::isfinite(capability.gflops) || capability.gflops < 0) capability.gflops = 0;
  return capability;
}

ProtocolRange range_of(const Join& join) {
  return {join.protocol_version_min == 0 ? join.protocol_version : join.protocol_version_min, join.protocol_version};
}

// Long enough that the handshakes of all who may come back leave us room to work.
Duration reconnect_window(std::size_t nodes) {
  const Duration window = kReconnectEach * static_cast<std::int64_t>(nodes);
  return std::clamp<Duration>(window, kReconnectWindowMin, kReconnectWindowMax);
}

}  // namespace

bool Budget::spend(Instant now) {
  if (now - since_ >= kBudgetWindow || now < since_) {
    since_ = now;
    used_ = 0;
  }
  if (used_ >= most_) return false;
  ++used_;
  return true;
}

Registry::Registry(Config config, Outbox& out, Journal& journal, RecordBook& records)
    : config_(config), out_(out), journal_(journal), records_(records) {}

// ---- rows

Result<void> Registry::load_certificate(const PeerKey& key, ByteSpan value) {
  COVEY_TRY(Certificate certificate, certificate_of_value(value));
  if (certificate.curve != key)
    return unexpected(ErrorCode::kCorrupted, "the certificate is of another key, " + short_hex(certificate.curve));
  nodes_[key].certificate = std::move(certificate);
  return {};
}

Result<void> Registry::load_node(const PeerKey& key, ByteSpan value) {
  COVEY_TRY(NodeSummary summary, decode_node_summary(value));
  const auto at = nodes_.find(key);
  if (at == nodes_.end() || summary.key != key)
    return unexpected(ErrorCode::kCorrupted, "a node without its certificate");
  summary.connected = false;
  if (!summary.revoked) names_[summary.name] = key;
  at->second.summary = std::move(summary);
  return {};
}

Result<void> Registry::load_token(ByteSpan value) {
  COVEY_TRY(TokenRow row, decode_token_row(value));
  tokens_[row.delegation.token] = Token{std::move(row), false};
  return {};
}

Result<void> Registry::check_loaded() const {
  for (const auto& [key, node] : nodes_)
    if (node.summary.key != key)
      return unexpected(ErrorCode::kCorrupted, "row " + cert_key(key) + ": a certificate without its node");
  return {};
}

// ---- time

void Registry::start(Instant now) {
  // Admitted at once: their rows are durable already, and thousands may be knocking whom a refusal would delay.
  for (auto& [key, node] : nodes_) {
    node.ended = now >= node.members_until();
    if (node.summary.revoked) continue;
    if (node.ended) {
      news_.left.push_back(key);  // a round that goes on does not wait for it
      out_.now(ExpelPeer{key, Expulsion::kEnded});
    } else {
      out_.now(AdmitPeer{key, Admission::kMember});
    }
  }
  Batch batch;
  for (auto at = tokens_.begin(); at != tokens_.end();) {
    Token& token = at->second;
    if (!token.row.spent_by && now >= token.row.delegation.expires) {
      batch.erase(token_key(at->first));
      at = tokens_.erase(at);
      continue;
    }
    // A node that enrolled but never joined may have missed our answer and asks again.
    const Node* node = token.row.spent_by ? find(*token.row.spent_by) : nullptr;
    if (!token.row.spent_by || (node != nullptr && !node->ended && node->summary.last_seen == Instant{})) admit(token);
    if (token.row.spent_by && token.admitted) out_.now(SetTimer{expel_timer(at->first), kEnrolmentGrace});
    ++at;
  }
  out_.persist(std::move(batch));
}

void Registry::tick(Instant now) {
  judge_memberships(now);
  Batch batch;
  for (auto& [key, node] : nodes_) {
    if (node.link && node.heard - node.summary.last_seen >= kSeenSaved) {
      node.summary.last_seen = node.heard;
      node.unsaved = true;
    }
    if (std::exchange(node.unsaved, false) && !node.summary.revoked) persist_node(node, batch);
    if (!node.link || now - node.heard < kLinkTimeout) continue;
    out_.log(LogLevel::kWarning, "node_lost",
             {{"node", node.summary.name}, {"key", short_hex(key)}, {"silent_s", seconds(now - node.heard)}});
    lose_link(node, now);
    news_.lost.push_back(key);
  }
  out_.persist(std::move(batch));
  for (auto& [id, token] : tokens_)
    if (token.admitted && !token.row.spent_by && now >= token.row.delegation.expires) expel(token);
}

bool Registry::timer_fired(const std::string& name, Instant now) {
  if (name.starts_with(kExpelTimer)) {
    const auto id = fixed_from_hex<TokenId>(std::string_view(name).substr(kExpelTimer.size()));
    const auto at = id ? tokens_.find(*id) : tokens_.end();
    if (at != tokens_.end()) expel(at->second);
    return true;
  }
  if (!name.starts_with(kChallengeTimer)) return false;
  const auto key = fixed_from_hex<PeerKey>(std::string_view(name).substr(kChallengeTimer.size()));
  Node* node = key ? find(*key) : nullptr;
  if (node == nullptr || !node->newcomer) return true;
  const Node::Newcomer newcomer = *node->newcomer;
  out_.log(LogLevel::kInfo, "identity_taken_over", {{"node", node->summary.name}, {"key", short_hex(*key)}});
  accept_join(*node, newcomer.link, newcomer.join, now);
  return true;
}

void Registry::lose_link(Node& node, Instant now) {
  node.link.reset();
  node.summary.connected = false;
  node.summary.last_seen = node.heard;
  node.unsaved = true;
  if (!node.newcomer) return;
  const Node::Newcomer newcomer = *node.newcomer;
  accept_join(node, newcomer.link, newcomer.join, now);
}

// ---- enrolment

void Registry::admit(Token& token) {
  token.admitted = true;
  out_.after(AdmitPeer{token.row.delegation.one_time_curve, Admission::kEnrolment});
}

void Registry::expel(Token& token) {
  if (!token.admitted) return;
  token.admitted = false;
  out_.now(CancelTimer{expel_timer(token.row.delegation.token)});
  out_.after(ExpelPeer{token.row.delegation.one_time_curve});
}

Result<void> Registry::judge_token(const Certificate& certificate, Instant now) const {
  const auto at = tokens_.find(certificate.delegation.token);
  if (at == tokens_.end() || at->second.row.delegation != certificate.delegation)
    return unexpected(ErrorCode::kPermissionDenied,
                      "this coordinator does not know the join token; the operator registers it with `covey token`");
  const TokenRow& row = at->second.row;
  if (!row.spent_by) return verify(row.delegation, config_.authority, now);
  return unexpected(ErrorCode::kPermissionDenied, "the join token was used at " + iso8601(row.spent) + " by " +
                                                      name_of(*row.spent_by) + "; ask the operator for a new one");
}

// Whether the key and the name are free, and there is room.
Result<void> Registry::judge_identity(const Certificate& certificate) const {
  for (const auto& [id, token] : tokens_)
    if (certificate.curve.is_zero() || certificate.curve == token.row.delegation.one_time_curve)
      return unexpected(ErrorCode::kInvalidArgument, "the node's own key must not be a token's; make a fresh one");
  if (nodes_.contains(certificate.curve))
    return unexpected(ErrorCode::kAlreadyExists, "the key " + short_hex(certificate.curve) +
                                                     " is enrolled already; make a fresh one to enrol again");
  if (names_.contains(certificate.name))
    return unexpected(ErrorCode::kAlreadyExists, "the name " + setting_text(certificate.name) +
                                                     " is taken; choose another, or revoke that node first");
  if (names_.size() >= config_.nodes_max)
    return unexpected(ErrorCode::kResourceExhausted, "this coordinator has its " + std::to_string(config_.nodes_max) +
                                                         " nodes; revoke one, or raise the bound");
  return {};
}

Result<void> Registry::judge_enrolment(const Link& from, const Certificate& certificate, Instant now) {
  COVEY_TRY_VOID(verify(certificate, config_.authority));
  if (from.peer != certificate.delegation.one_time_curve)
    return unexpected(ErrorCode::kPermissionDenied, "enrolment must come over the key of its own join token");
  COVEY_TRY_VOID(judge_token(certificate, now));
  if (now >= certificate.delegation.members_until)
    return unexpected(ErrorCode::kPermissionDenied, "memberships made with this join token ended at " +
                                                        iso8601(certificate.delegation.members_until) + ", it is " +
                                                        iso8601(now) + "; ask the operator for a new one");
  return judge_identity(certificate);
}

// Persists the node and its spent token, and admits it.
void Registry::add_node(const Certificate& certificate, Instant now) {
  Node node;
  node.certificate = certificate;
  node.summary.key = certificate.curve;
  node.summary.name = certificate.name;
  node.summary.role = certificate.role();
  node.summary.enrolled = now;
  Token& token = tokens_[certificate.delegation.token];
  if (token.row.registered == Instant{}) token.row = TokenRow{certificate.delegation, now, std::nullopt, Instant{}};
  token.row.spent_by = certificate.curve;
  token.row.spent = now;
  names_[certificate.name] = certificate.curve;
  Batch batch;
  batch.put(cert_key(certificate.curve), certificate_value(certificate));
  batch.put(token_key(certificate.delegation.token), encode(token.row));
  persist_node(node, batch);
  journal_.write(batch, now, 0,
                 std::string(covey::name_of(certificate.role())) + " " + certificate.name + " enrolled with key " +
                     short_hex(certificate.curve));
  AuditEntry act;
  act.kind = AuditKind::kEnrolled;
  act.time = now;
  act.who = certificate.curve;
  act.text = std::string(covey::name_of(certificate.role())) + " " + certificate.name;
  records_.persist(std::move(batch), {std::move(act)});
  node.ended = now >= node.members_until();  // of one from our own folder
  const bool admitted = !node.ended;
  nodes_[certificate.curve] = std::move(node);
  if (admitted) out_.after(AdmitPeer{certificate.curve, Admission::kMember});
  out_.log(LogLevel::kInfo, "node_enrolled",
           {{"node", certificate.name}, {"key", short_hex(certificate.curve)},
            {"role", covey::name_of(certificate.role())}});
}

void Registry::enrol(const Link& from, const Enrol& message, Instant now) {
  const Certificate& certificate = message.certificate;
  const auto known = nodes_.find(certificate.curve);
  if (known != nodes_.end() && known->second.certificate == certificate && !known->second.summary.revoked &&
      from.peer == certificate.delegation.one_time_curve) {
    out_.send(from, EnrolAccepted{});  // our first answer was lost
    return;
  }
  if (const auto judged = judge_enrolment(from, certificate, now); !judged) {
    if (may_log_refusal(from.peer, now))
      out_.log(LogLevel::kWarning, "enrolment_refused",
               {{"node", setting_text(certificate.name)}, {"reason", judged.error().message}});
    out_.say(from, EnrolRefused{judged.error()});
    return;
  }
  add_node(certificate, now);
  out_.now(SetTimer{expel_timer(certificate.delegation.token), kEnrolmentGrace});
  out_.send(from, EnrolAccepted{});
}

void Registry::enrol_given(const Certificate& certificate, Instant now) {
  if (nodes_.contains(certificate.curve)) return;
  const auto judged = [&]() -> Result<void> {
    COVEY_TRY_VOID(verify(certificate, config_.authority));
    const auto token = tokens_.find(certificate.delegation.token);
    if (token != tokens_.end() && (token->second.row.spent_by || token->second.row.delegation != certificate.delegation))
      return judge_token(certificate, now);
    return judge_identity(certificate);
  }();
  if (judged) {
    // At once: it is in the configuration whatever becomes of our disk, and the operator may be
    // knocking already.
    if (now < certificate.delegation.members_until) out_.now(AdmitPeer{certificate.curve, Admission::kMember});
    return add_node(certificate, now);
  }
  out_.log(LogLevel::kError, "enrolment_refused",
           {{"node", setting_text(certificate.name)}, {"reason", judged.error().message}});
}

void Registry::persist_node(const Node& node, Batch& batch) {
  NodeSummary stored = node.summary;
  stored.connected = false;
  batch.put(node_key(stored.key), encode(stored));
}

// ---- presence

bool Registry::may_log_refusal(const PeerKey& peer, Instant now) {
  Node* node = find(peer);
  return (node != nullptr ? node->refusals : stranger_refusals_).spend(now);
}

// A refusal promises nothing: it does not wait for the disk.
void Registry::refuse_join(const Link& to, JoinRefused refusal, Instant now) {
  if (may_log_refusal(to.peer, now))
    out_.log(LogLevel::kWarning, "join_refused", {{"node", name_of(to.peer)}, {"reason", refusal.error.message}});
  out_.say(to, std::move(refusal));
}

void Registry::join(const Link& from, const Join& message, Instant now) {
  if (const Node* ended = ended_member(from.peer, now))
    return refuse_join(from, {membership_over(*ended), Duration{}, ended->members_until()}, now);
  Node* node = find(from.peer);
  if (node == nullptr) return;  // the allow-list is about to forget it
  if (const auto version = negotiate(config_.protocol, range_of(message)); !version)
    return refuse_join(from, {version.error(), Duration{}, Instant{}}, now);
  if (node->link && node->instance == message.instance) return answer_again(*node, from, message, now);
  const bool rival = node->link && node->instance != message.instance && node->link->session != from.session;
  if (!rival) return accept_join(*node, from, message, now);
  if (node->newcomer && node->newcomer->join.instance != message.instance) {
    refuse_join(from,
                {{ErrorCode::kAlreadyExists, "several processes use the identity " + setting_text(node->summary.name) + "; stop all but one"},
                 kIdentityRetry, Instant{}},
                now);
    return;
  }
  if (!node->newcomer) {
    out_.say(*node->link, Ping{});
    out_.now(SetTimer{challenge_timer(from.peer), kIdentityChallenge});
  }
  node->newcomer = Node::Newcomer{from, message};
}

// A process that is joined joins again: its answer was lost, or its connection. Peers can repeat
// this at will, so it costs no row, no log line and no news beyond the new connection.
void Registry::answer_again(Node& node, const Link& from, const Join& join, Instant now) {
  node.heard = now;
  Capability capability = sane(join.capability);
  if (node.summary.capability != capability) {
    node.summary.capability = std::move(capability);
    node.unsaved = true;
  }
  relink(node, from);
  JoinAccepted answer = accepted(node, join);
  if (records_.started())
    out_.say(from, std::move(answer));
  else
    out_.send(from, std::move(answer));  // nobody hears of an epoch that a crash could undo
  tell_standing(node);
  refuse_newcomer(node, now);
}

JoinAccepted Registry::accepted(const Node& node, const Join& join) const {
  const auto version = negotiate(config_.protocol, range_of(join));
  COVEY_CHECK(version.has_value());  // join() has judged it
  return {node.summary.name, records_.epoch(), *version, reconnect_window(names_.size())};
}

void Registry::relink(Node& node, const Link& from) {
  if (*node.link == from) return;
  node.link = from;
  news_.relinked.push_back(from.peer);
}

void Registry::accept_join(Node& node, const Link& from, const Join& join, Instant now) {
  if (!node.joins.spend(now)) {
    refuse_join(from,
                {{ErrorCode::kResourceExhausted,
                  "this node joined " + std::to_string(kJoinsPerWindow) + " times within " +
                          std::to_string(kBudgetWindow / std::chrono::seconds(1)) +
                          " s; check that only one process uses its identity"},
                 kBudgetWindow, Instant{}},
                now);
    return;
  }
  if (node.newcomer) out_.now(CancelTimer{challenge_timer(from.peer)});
  node.newcomer.reset();
  node.link = from;
  node.instance = join.instance;
  node.heard = now;
  node.summary.connected = true;
  Capability capability = sane(join.capability);
  // last_seen alone needs no row; that it ever joined does, for its token.
  const bool changed = node.summary.last_seen == Instant{} || node.summary.capability != capability;
  node.summary.last_seen = now;
  node.summary.capability = std::move(capability);
  node.unsaved = !changed;
  if (changed) {
    Batch batch;
    persist_node(node, batch);
    out_.persist(std::move(batch));
  }
  if (Token* token = token_of(node)) expel(*token);
  out_.send(from, accepted(node, join));
  tell_standing(node);
  const Capability& has = node.summary.capability;
  out_.log(LogLevel::kInfo, "node_joined",
           {{"node", node.summary.name}, {"key", short_hex(from.peer)}, {"role", covey::name_of(node.summary.role)},
            {"device", has.device}, {"cores", has.cores}, {"memory_bytes", has.memory_bytes}, {"gflops", has.gflops},
            {"protocol", negotiate(config_.protocol, range_of(join)).value()}});
  news_.joined.push_back(from.peer);
}

void Registry::heartbeat(const Link& from, const Heartbeat& message, Instant now) {
  Node* node = find(from.peer);
  if (node == nullptr) return;
  if (!node->link || node->instance != message.instance) {
    out_.say(from, RejoinRequired{});
    return;
  }
  node->heard = now;
  relink(*node, from);
  out_.say(from, HeartbeatAck{});
  refuse_newcomer(*node, now);
}

// The process that is joined lives: whoever else claims its identity is sent away.
void Registry::refuse_newcomer(Node& node, Instant now) {
  if (!node.newcomer) return;
  const Link newcomer = node.newcomer->link;
  node.newcomer.reset();
  out_.now(CancelTimer{challenge_timer(newcomer.peer)});
  refuse_join(newcomer,
              {{ErrorCode::kAlreadyExists, "another process uses this identity, " +
                                                   setting_text(node.summary.name) +
                                                   "; stop it, or enrol this one under its own name"},
               kIdentityRetry, Instant{}},
              now);
}

void Registry::leave(const Link& from, Instant now) {
  Node* node = find(from.peer);
  if (node == nullptr || !node->link || node->link->session != from.session) return;
  node->heard = now;
  out_.log(LogLevel::kInfo, "node_left", {{"node", node->summary.name}, {"key", short_hex(from.peer)}});
  news_.left.push_back(from.peer);
  lose_link(*node, now);
}

// ---- look-ups

Node* Registry::find(const PeerKey& peer) {
  const auto at = nodes_.find(peer);
  return at == nodes_.end() || at->second.summary.revoked ? nullptr : &at->second;
}

std::string Registry::name_of(const PeerKey& peer) const {
  const auto at = nodes_.find(peer);
  return at == nodes_.end() ? short_hex(peer) : at->second.summary.name;
}

Registry::Token* Registry::token_of(const Node& node) {
  const auto at = tokens_.find(node.certificate.delegation.token);
  return at == tokens_.end() ? nullptr : &at->second;
}

}  // namespace covey
