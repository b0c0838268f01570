#include "coordinator/secure_attempt.h"

#include <algorithm>

#include "coordinator/selector.h"
#include "core/protocol/exchanged.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"
#include "privacy/ring_encoder.h"
#include "privacy/round_terms.h"

namespace covey {
namespace {

constexpr std::uint32_t kHonestMin = 3;  // survivors beyond those that may be corrupt: no sum is of fewer

std::uint32_t millionths(double share) { return static_cast<std::uint32_t>(share * kMillionths + 0.5); }

}  // namespace

SecureAttempt::SecureAttempt(const SecureParts& parts, RoundKey key, RoundKind kind, std::unique_ptr<SecAggServer> server)
    : parts_(parts), key_(key), kind_(kind), server_(std::move(server)), sid_(sid_of(server_->config())) {}
SecureAttempt::~SecureAttempt() = default;

namespace {

// The fewest members from `least` on that a graph serves: of fewer, too many might be corrupt.
Result<std::uint32_t> members_min(const SecAggConfig& config, std::uint32_t least) {
  const std::uint32_t step = std::max(1U, config.members_max / 32);
  for (std::uint32_t members = least;; members = std::min(members + step, config.members_max)) {
    const auto graph = graph_of(config, members);
    if (graph) return members;
    if (members == config.members_max) return unexpected(graph.error());
  }
}

Result<SecAggConfig> config_of(const SecureAttempt::Plan& plan, const JobSpec& job) {
  const ClientTerms terms = terms_of(SecureRound{plan.key, plan.kind, plan.config, plan.model}, {});
  SecAggConfig config;
  config.task = terms.task;
  config.round = terms.round;
  config.attempt = plan.key.attempt;
  config.stage = terms.stage;
  config.data_scope = terms.data_scope;
  config.model = terms.model;
  config.training = terms.training;
  config.gamma_millionths = millionths(job.privacy.corrupt_fraction);
  config.dropout_millionths = millionths(job.privacy.dropout);
  config.corrupt_max = corrupt_bound_fixed(plan.asked, config.gamma_millionths);
  config.members_max = plan.asked;
  config.survivors_min = std::max(config.corrupt_max + kHonestMin, plan.quorum);
  config.credential_epoch = kCredentialEpochFirst;
  COVEY_TRY(config.vectors, secure_vectors(job, plan.kind, exchanged_size(job), plan.asked));
  if (config.survivors_min > config.members_max)
    return unexpected(ErrorCode::kInvalidArgument,
                      "a sum of " + std::to_string(plan.asked) + " clients of whom " + std::to_string(config.corrupt_max) +
                          " may be corrupt needs " + std::to_string(config.survivors_min) +
                          "; raise selection.min_clients or lower privacy.corrupt_fraction");
  COVEY_TRY(config.members_min, members_min(config, config.survivors_min));
  return config;
}

}  // namespace

Result<void> check_secure(const JobSpec& job) {
  if (!job.privacy.secure_aggregation) return {};
  SecureAttempt::Plan plan;
  plan.key = {1, 1, 1};
  plan.asked = ceil_share(1 + job.selection.over_selection, job.selection.min_clients);
  plan.quorum = ceil_share(job.round.quorum, job.selection.min_clients);
  COVEY_TRY_VOID(config_of(plan, job));
  return {};
}

Result<std::unique_ptr<SecureAttempt>> SecureAttempt::begin(const SecureParts& parts, const Plan& plan, const JobSpec& job) {
  COVEY_TRY(SecAggConfig config, config_of(plan, job));
  config.credential_epoch = parts.registry.withdrawals().epoch;
  config.revocation_root = root_of(parts.registry.withdrawals());
  COVEY_TRY(auto server, SecAggServer::begin(std::move(config), parts.authority, parts.work, parts.random));
  return std::unique_ptr<SecureAttempt>(new SecureAttempt(parts, plan.key, plan.kind, std::move(server)));
}

// ---- who is where

const char* SecureAttempt::phase_name() const {
  switch (phase()) {
    case Phase::kJoining: return "joining";
    case Phase::kSharing: return "sharing";
    case Phase::kConfirming: return "confirming";
    case Phase::kMasking: return "masking";
    case Phase::kAgreeing: return "agreeing";
    case Phase::kUnmasking:
    case Phase::kCommitted: return "unmasking";
    case Phase::kAborting:
    case Phase::kAborted: return "aborting";
  }
  return "";
}

bool SecureAttempt::open_masks() const {
  return phase() == Phase::kMasking || phase() == Phase::kAgreeing || phase() == Phase::kAborting ||
         (phase() == Phase::kUnmasking && server_->cohort()->graph().complete);
}

// ---- who can still end it

bool SecureAttempt::joined_again(const PeerKey& peer) {
  const Node* node = parts_.registry.find(peer);
  const auto known = instances_.find(peer);
  return node != nullptr && known != instances_.end() && known->second != node->instance && lost_.insert(peer).second;
}

// Survivors that revealed their shares, or have the keys to.
std::uint32_t SecureAttempt::holders(bool linked) const {
  std::uint32_t count = 0;
  for (const auto& [peer, place] : places_) {
    if (!server_->survivors().contains(place)) continue;
    const Node* node = parts_.registry.find(peer);
    const bool holds = node != nullptr && !lost_.contains(peer) && (!linked || node->link);
    count += holds || unmasks_.contains(peer) ? 1 : 0;
  }
  return count;
}

bool SecureAttempt::may_open() const {
  const bool known = server_->survivors().count() > 0 && server_->cohort()->graph().complete;
  return !known || holders(false) >= server_->cohort()->graph().threshold;
}

bool SecureAttempt::absent_may_open() const {
  if (phase() != Phase::kUnmasking || !server_->cohort()->graph().complete) return false;
  std::uint32_t count = 0;
  for (const auto& [peer, place] : places_) {
    const Node* node = parts_.registry.find(peer);
    const bool away = node != nullptr && !node->link && !node->summary.revoked && !lost_.contains(peer);
    if (server_->survivors().contains(place) && (away || unmasks_.contains(peer))) ++count;
  }
  return count >= server_->cohort()->graph().threshold;
}

bool SecureAttempt::more_may_reveal() const {
  return std::any_of(places_.begin(), places_.end(), [&](const auto& one) {
    const Node* node = parts_.registry.find(one.first);
    const bool holds = node != nullptr && !node->summary.revoked && !lost_.contains(one.first);
    return holds && server_->survivors().contains(one.second) && !unmasks_.contains(one.first);
  });
}

// The first share that leaves may be one too many for an ABORT, and too few for the sum. So nobody is shown the
// COMMIT before so many are there that their shares open it.
bool SecureAttempt::may_reveal() {
  if (!revealing_) revealing_ = !server_->cohort()->graph().complete || !unmasks_.empty() || holders(true) >= server_->cohort()->graph().threshold;
  return revealing_;
}

bool SecureAttempt::awaits_absent() const {
  if (phase() != Phase::kAborting) return false;
  std::size_t possible = server_->aborting();
  for (const auto& [peer, place] : places_) {
    const Node* node = parts_.registry.find(peer);
    if (node != nullptr && !node->link && !node->summary.revoked && server_->awaits(place)) ++possible;
  }
  return possible > server_->aborting() && possible >= server_->cohort()->graph().abort_quorum;
}

std::string SecureAttempt::abort_text() const {
  return std::to_string(server_->aborting()) + " of the " + std::to_string(server_->cohort()->graph().abort_quorum) +
         " members that it takes";
}

std::uint32_t SecureAttempt::needed() const {
  return server_->cohort() == nullptr ? server_->config().survivors_min : server_->cohort()->survivors_needed();
}

void SecureAttempt::seat() {
  peers_.clear();
  places_.clear();
  for (const RosterEntry& entry : server_->cohort()->entries()) {
    const PeerKey& peer = subjects_.at(entry.credential.subject);
    places_[peer] = static_cast<std::uint32_t>(peers_.size());
    peers_.push_back(peer);
  }
}

std::optional<std::uint32_t> SecureAttempt::place_of(const PeerKey& peer) const {
  const auto at = places_.find(peer);
  return at == places_.end() ? std::nullopt : std::optional(at->second);
}
std::optional<PeerKey> SecureAttempt::peer_at(std::uint32_t place) const {
  return place < peers_.size() ? std::optional(peers_[place]) : std::nullopt;
}

std::vector<PeerKey> SecureAttempt::unheard() const {
  std::vector<PeerKey> all;
  for (const auto& [peer, place] : places_) {
    const Node* node = parts_.registry.find(peer);
    if (server_->awaits(place) && node != nullptr && node->link && !lost_.contains(peer)) all.push_back(peer);
  }
  return all;
}

std::vector<PeerKey> SecureAttempt::missing() const {
  std::vector<PeerKey> all;
  for (const auto& [peer, place] : places_) {
    const Node* node = parts_.registry.find(peer);
    if (server_->awaits(place) && node != nullptr && !node->summary.revoked && !lost_.contains(peer)) all.push_back(peer);
  }
  return all;
}

bool SecureAttempt::joined(const PeerKey& peer) const {
  return std::any_of(subjects_.begin(), subjects_.end(), [&](const auto& entry) { return entry.second == peer; });
}
bool SecureAttempt::masks(const PeerKey& peer) const {
  const auto place = place_of(peer);
  return place && phase() >= Phase::kMasking && server_->maskers().contains(*place);
}
bool SecureAttempt::takes_part(const PeerKey& peer) const {
  if (phase() == Phase::kJoining) return true;
  return phase() >= Phase::kMasking ? masks(peer) : place_of(peer).has_value();
}

std::vector<PeerKey> SecureAttempt::awaited(const std::map<PeerKey, Member>& members) const {
  std::vector<PeerKey> all;
  for (const auto& [peer, member] : members) {
    const bool there = member.state == MemberState::kOffered || member.state == MemberState::kWorking ||
                       (masking_over() && member.state == MemberState::kDelivered);
    if (!there) continue;
    if (masking_over()) {
      const Node* node = parts_.registry.find(peer);
      if (node == nullptr || !node->link) continue;
    }
    if (phase() == Phase::kJoining ? !joined(peer) : place_of(peer) && server_->awaits(*place_of(peer))) all.push_back(peer);
  }
  return all;
}

// ---- saying

void SecureAttempt::send(const PeerKey& peer, const Bytes& content) {
  const Node* node = parts_.registry.find(peer);
  if (node == nullptr || !node->link) return;  // it is told when it is back
  told_[peer] = latest_;
  if (content.size() <= kSecAggNoteBytesMax) return parts_.out.send(*node->link, SecAggNote{key_, content});
  const BlobRef blob = blob_ref_of(content);
  const auto [place, fresh] = letters_.try_emplace(blob.id);
  Letter& letter = place->second;
  if (fresh) {
    letter.blob = blob;
    parts_.blobs.hold(blob.id);
  }
  if (!fresh && letter.putting == 0) return deliver(letter, peer);
  letter.waiting.insert(peer);
  if (letter.putting != 0) return;
  letter.putting = parts_.out.next_ticket();
  parts_.out.now(StartWork{letter.putting, PutBlob{content}});
}

void SecureAttempt::send(const std::vector<Outgoing>& all) {
  for (const Outgoing& one : all)
    for (const std::uint32_t place : one.to) send(peers_[place], one.message);
}

void SecureAttempt::deliver(Letter& letter, const PeerKey& peer) {
  const Node* node = parts_.registry.find(peer);
  if (node == nullptr || !node->link) return;
  parts_.out.after(PublishBlob{letter.blob.id, peer});
  parts_.out.send(*node->link, SecAggLetter{key_, letter.blob});
}

void SecureAttempt::tell(const PeerKey& peer, Instant now) {
  latest_ = now;
  if (phase() == Phase::kJoining) {
    if (!joined(peer)) send(peer, server_->invitation());
  } else if (const auto place = place_of(peer)) {
    if (phase() == Phase::kUnmasking && !may_reveal()) return;
    if (const auto due = server_->due_to(*place)) send(peer, *due);
    // After the certificate: one that has revealed its shares answers the first with them.
    if (const auto missed = server_->missed_by(*place)) send(peer, *missed);
  }
}

void SecureAttempt::tell_awaited(const std::map<PeerKey, Member>& members, Instant now) {
  if (phase() != Phase::kJoining) return tell_awaited(now);
  for (const auto& [peer, member] : members)
    if (member.state == MemberState::kWorking && !joined(peer) && now - told_[peer] >= kAwaited) tell(peer, now);
}

void SecureAttempt::tell_awaited(Instant now) {
  for (const auto& [peer, place] : places_)
    if (server_->awaits(place) && now - told_[peer] >= kAwaited) tell(peer, now);
}

// ---- phases before the masks

Result<bool> SecureAttempt::advance(const std::map<PeerKey, Member>& members, bool late, Instant now) {
  latest_ = now;
  if (phase() >= Phase::kMasking || (!late && awaits_any(members))) return false;
  std::vector<Outgoing> out;
  if (phase() == Phase::kJoining) {
    auto rosters = server_->close_joins();
    for (const SubjectId& subject : server_->unsigned_joins())
      if (const auto from = subjects_.extract(subject); !from.empty())
        unfit_.emplace(from.mapped(), "its keys are not signed for this attempt's terms");
    COVEY_TRY(out, std::move(rosters));
    seat();
  } else if (phase() == Phase::kSharing) {
    COVEY_TRY(out, server_->close_shares());
  } else {
    COVEY_TRY(out, server_->close_confirmations());
    // From here on a member may mask: the order leaves when this is durable.
    Batch batch;
    batch.put(mask_key(key_), encode(MaskRow{peers_, server_->snapshot(), instances()}));
    keep_phase(batch, now);
    parts_.out.persist(std::move(batch));
  }
  send(out);
  return true;
}

// ---- masked vectors

Result<void> SecureAttempt::judge(const PeerKey& peer, const MaskedReady& message, const JobSpec& job) const {
  const auto bad = [](const std::string& what) { return unexpected(ErrorCode::kInvalidUpdate, what); };
  if (phase() != Phase::kMasking) return bad("masked vectors are not awaited: the aggregation is " + std::string(phase_name()));
  if (!masks(peer)) return bad("this client was not told to mask");
  COVEY_TRY(const auto vectors, secure_vectors(job, kind_, exchanged_size(job), members_max()));
  const std::uint64_t expected = masked_bytes(vectors);
  if (message.vectors.size != expected)
    return bad("the masked vectors have " + std::to_string(message.vectors.size) + " bytes; this round's have " +
               std::to_string(expected));
  const auto note = decode_secagg_message(message.note);
  if (!note) return bad("its note: " + note.error().message);
  const auto* masked = std::get_if<MaskedMessage>(&*note);
  if (masked == nullptr || place_of(peer) != masked->member) return bad("its note is not this client's Masked message");
  return {};
}

CheckMasked SecureAttempt::check(const BlobRef& vectors, const JobSpec& job) const {
  return {vectors, job, kind_, members_max(), sid_};
}

Result<void> SecureAttempt::masked(const PeerKey& peer, const Bytes& note, const Digest& hash) {
  const std::uint32_t place = places_.at(peer);
  const auto bad = [](const Error& error) { return unexpected(ErrorCode::kInvalidUpdate, error.message); };
  const auto decoded = decode_secagg_message(note);
  COVEY_CHECK(decoded.has_value());  // judge()
  if (std::get<MaskedMessage>(*decoded).masked != hash)
    return unexpected(ErrorCode::kInvalidUpdate, "the masked vectors are not those that the client signed");
  if (const auto taken = server_->handle(note); !taken && taken.error().code != ErrorCode::kAlreadyExists) return bad(taken.error());
  if (const auto arrived = server_->on_vectors(place, hash); !arrived) return bad(arrived.error());
  return {};
}

// ---- the end

void SecureAttempt::agree(const Digest& reservation, Instant now) {
  latest_ = now;
  const auto out = server_->close_masks(reservation);
  COVEY_CHECK(out.has_value());  // can_freeze() before the freeze, and nothing came since
  send(*out);
}

std::shared_ptr<const SumRecovery> SecureAttempt::recovery() const {
  auto recovery = server_->recovery();
  COVEY_CHECK(recovery.has_value());
  return std::make_shared<const SumRecovery>(std::move(*recovery));
}

void SecureAttempt::ask_seeds(const std::vector<std::uint32_t>& dealers, Instant now) {
  latest_ = now;
  const auto out = server_->ask_seeds(dealers);
  COVEY_CHECK(out.has_value());
  send(*out);
}

void SecureAttempt::abort(Instant now) {
  latest_ = now;
  const auto out = server_->abort();
  COVEY_CHECK(out.has_value());
  send(*out);
}

void SecureAttempt::close() {
  for (const auto& [ticket, coming] : letters_in_) {
    parts_.out.now(CancelFetch{ticket});
    parts_.blobs.drop(coming.second.id);
  }
  letters_in_.clear();
  for (const auto& [id, letter] : letters_) {
    parts_.out.after(WithdrawBlob{id});
    parts_.blobs.drop(id);
  }
  letters_.clear();
}

}  // namespace covey
