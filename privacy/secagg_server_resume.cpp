// The coordinator's half after a restart, and what a member is told again. See secagg_server.h.
#include <algorithm>
#include <string>

#include "core/base/wire.h"
#include "privacy/secagg_server.h"

namespace covey {
namespace {

constexpr std::uint8_t kSnapshotVersion = 1;

Unexpected corrupted(const std::string& what) {
  return unexpected(ErrorCode::kCorrupted, "the snapshot of a secure aggregation: " + what);
}

template <class M>
Result<M> read_message(ByteSpan bytes) {
  auto message = decode_secagg_message(bytes);
  if (!message) return corrupted(message.error().message);
  M* const wanted = std::get_if<M>(&*message);
  if (wanted == nullptr) return corrupted("a message of another kind than its place says");
  return std::move(*wanted);
}

void write_signatures(ByteWriter& out, const std::map<std::uint32_t, Signature>& votes) {
  out.u32(static_cast<std::uint32_t>(votes.size()));
  for (const auto& [member, signature] : votes) out.u32(member).fixed(signature);
}

enum Flag : std::uint8_t { kShared = 1, kConfirmedFlag = 2, kConvicted = 4, kMaskedFlag = 8, kArrived = 16, kUnmasked = 32 };
constexpr std::uint8_t kAllFlags = 63;

}  // namespace

// ---- asked again

bool SecAggServer::awaits(std::uint32_t member) const {
  if (member >= members_.size()) return false;
  const Member& m = members_[member];
  switch (phase_) {
    case Phase::kSharing: return !m.shares;
    case Phase::kConfirming: return m.shares && !m.confirmed;
    case Phase::kMasking: return maskers_.contains(member) && !m.arrived;
    case Phase::kAgreeing: return survivors_.contains(member) && cohort_->in_committee(member) && !commits_.contains(member);
    case Phase::kUnmasking: return survivors_.contains(member) && (!m.unmask || (!m.seeds && !seeds_owed(member).empty()));
    case Phase::kAborting: return cohort_->in_committee(member) && !aborts_.contains(member) && !m.unmask;
    case Phase::kJoining:
    case Phase::kCommitted:
    case Phase::kAborted: return false;
  }
  return false;
}

bool SecAggServer::can_abort() const {
  if (cohort_ == nullptr || phase_ == Phase::kCommitted) return false;
  const Graph& graph = cohort_->graph();
  if (!graph.complete) return phase_ != Phase::kUnmasking && cohort_->committee().size() - commits_.size() >= graph.quorum;
  const auto revealed = std::count_if(members_.begin(), members_.end(), [](const Member& m) { return m.unmask.has_value(); });
  return members_.size() - static_cast<std::size_t>(revealed) >= graph.abort_quorum;
}

std::optional<Bytes> SecAggServer::due_to(std::uint32_t member) const {
  if (member >= members_.size()) return std::nullopt;
  const auto said = [](const SecAggMessage& message) { return std::optional(encode(message)); };
  switch (phase_) {
    case Phase::kSharing: return said(RosterMessage{sid_, cohort_->entries()});
    case Phase::kConfirming: return members_[member].shares ? said(delivery_for(member)) : std::nullopt;
    case Phase::kMasking:
      return maskers_.contains(member) ? said(MaskOrderMessage{cohort_->id(), maskers_}) : std::nullopt;
    case Phase::kAgreeing: return survivors_.contains(member) ? said(survivors_for(member)) : std::nullopt;
    case Phase::kUnmasking:
      if (members_[member].unmask && awaits(member)) return said(SeedsRequestMessage{cohort_->id(), seeds_asked_});
      return survivors_.contains(member) ? said(*certificate_) : std::nullopt;
    case Phase::kAborting: return awaits(member) ? said(AbortRequestMessage{cohort_->id()}) : std::nullopt;
    case Phase::kAborted: return certificate_ ? said(*certificate_) : std::nullopt;
    case Phase::kJoining:
    case Phase::kCommitted: return std::nullopt;
  }
  return std::nullopt;
}

std::optional<Bytes> SecAggServer::missed_by(std::uint32_t member) const {
  if (phase_ != Phase::kUnmasking || !survivors_.contains(member) || members_[member].unmask || commits_.contains(member)) return std::nullopt;
  const auto& signers = certificate_->signatures;
  const bool signed_it = std::any_of(signers.begin(), signers.end(), [&](const auto& one) { return one.member == member; });
  return signed_it ? std::nullopt : std::optional(encode(SecAggMessage(survivors_for(member))));
}

Result<void> SecAggServer::adopt(const OutcomeMessage& certificate) {
  const bool commits = certificate.verdict == Verdict::kCommit;
  const bool open = commits ? phase_ == Phase::kAgreeing
                            : phase_ == Phase::kMasking || phase_ == Phase::kAgreeing || phase_ == Phase::kAborting;
  if (!open || certificate.id != cohort_->id())
    return unexpected(ErrorCode::kInvalidMessage, "secure aggregation refused: a certificate of another attempt or phase");
  COVEY_TRY_VOID(cohort_->check_certificate(certificate, commits ? commit_ : abort_statement(certificate.id), work_));
  certificate_ = certificate;
  phase_ = commits ? Phase::kUnmasking : Phase::kAborted;
  return {};
}

// ---- snapshots

Bytes SecAggServer::snapshot() const {
  COVEY_CHECK(phase_ >= Phase::kMasking && cohort_ != nullptr);
  ByteWriter out;
  out.u8(kSnapshotVersion).blob(encode(config_)).u8(static_cast<std::uint8_t>(phase_));
  out.blob(encode(SecAggMessage(RosterMessage{sid_, cohort_->entries()})));
  for (const Member& m : members_) {
    out.u8(static_cast<std::uint8_t>((m.shares ? kShared : 0) | (m.confirmed ? kConfirmedFlag : 0) | (m.convicted ? kConvicted : 0) |
                                     (m.masked ? kMaskedFlag : 0) | (m.arrived ? kArrived : 0) | (m.unmask ? kUnmasked : 0)));
    if (m.shares) out.fixed(m.shares->commitment);
    if (m.masked) out.blob(encode(SecAggMessage(*m.masked)));
    if (m.unmask) out.blob(encode(SecAggMessage(*m.unmask)));
  }
  out.blob(maskers_.bits()).blob(survivors_.bits()).fixed(reservation_);
  write_signatures(out, commits_);
  write_signatures(out, aborts_);
  out.boolean(certificate_.has_value());
  if (certificate_) out.blob(encode(SecAggMessage(*certificate_)));
  out.u32(static_cast<std::uint32_t>(blame_.size()));
  for (const Blame& b : blame_) out.u32(b.member).text(b.what);
  out.u32(static_cast<std::uint32_t>(evidence_.size()));
  for (const EvidenceMessage& e : evidence_) out.blob(encode(SecAggMessage(e)));
  return out.take();
}

Result<void> SecAggServer::read_members(ByteReader& in) {
  for (Member& m : members_) {
    const std::uint8_t flags = in.u8();
    if ((flags & ~kAllFlags) != 0) in.refuse();
    m.confirmed = (flags & kConfirmedFlag) != 0;
    m.convicted = (flags & kConvicted) != 0;
    m.arrived = (flags & kArrived) != 0;
    if ((flags & kShared) != 0) {
      m.shares.emplace();
      m.shares->commitment = in.fixed<Digest>();
    }
    if ((flags & kMaskedFlag) != 0) {
      COVEY_TRY(m.masked, read_message<MaskedMessage>(in.blob()));
    }
    if ((flags & kUnmasked) != 0) {
      COVEY_TRY(m.unmask, read_message<UnmaskMessage>(in.blob()));
    }
  }
  const auto read_set = [&](MemberSet& set) -> Result<void> {
    auto bits = MemberSet::from_bits(cohort_->members(), in.blob());
    if (!bits) return corrupted(bits.error().message);
    set = std::move(*bits);
    return {};
  };
  COVEY_TRY_VOID(read_set(maskers_));
  COVEY_TRY_VOID(read_set(survivors_));
  for (std::uint32_t i = 0; i < members_.size(); ++i) {
    const Member& m = members_[i];
    const bool fits = (!maskers_.contains(i) || (m.shares && m.confirmed && !m.convicted)) && (!m.arrived || m.masked) &&
                      (!m.masked || maskers_.contains(i)) && (!survivors_.contains(i) || m.arrived);
    if (!fits) return corrupted("member " + std::to_string(i) + " is where it cannot be");
  }
  return {};
}

Result<void> SecAggServer::read_votes(ByteReader& in) {
  for (auto* votes : {&commits_, &aborts_})
    for (std::size_t n = in.count(4 + Signature::kSize); n > 0; --n) {
      const std::uint32_t member = in.u32();
      votes->emplace(member, in.fixed<Signature>());
    }
  if (in.boolean()) {
    COVEY_TRY(certificate_, read_message<OutcomeMessage>(in.blob()));
  }
  for (std::size_t n = in.count(8); n > 0; --n) {
    Blame blame;
    blame.member = in.u32();
    blame.what = in.text();
    blame_.push_back(std::move(blame));
  }
  for (std::size_t n = in.count(4); n > 0; --n) {
    COVEY_TRY(EvidenceMessage evidence, read_message<EvidenceMessage>(in.blob()));
    evidence_.push_back(std::move(evidence));
  }
  return {};
}

Result<std::unique_ptr<SecAggServer>> SecAggServer::restore(ByteSpan snapshot, const VerifyKey& authority, PublicWork& work,
                                                            SecureRandom& random) {
  ByteReader in(snapshot);
  if (in.u8() != kSnapshotVersion) return corrupted("another version than " + std::to_string(kSnapshotVersion));
  auto config = decode_secagg_config(in.blob());
  if (!config) return corrupted(config.error().message);
  const std::uint8_t phase = in.u8();
  if (phase < static_cast<std::uint8_t>(Phase::kMasking) || phase > static_cast<std::uint8_t>(Phase::kAborted))
    return corrupted("its phase does not exist");
  COVEY_TRY(const RosterMessage roster, read_message<RosterMessage>(in.blob()));
  std::unique_ptr<SecAggServer> server(new SecAggServer(std::move(*config), authority, work, AgreementKey::generate(random),
                                                        RistrettoKey::generate(random)));
  if (roster.sid != server->sid_) return corrupted("its roster is of another attempt");
  auto cohort = work.cohort(server->config_, authority, roster);
  if (!cohort) return corrupted(cohort.error().message);
  server->cohort_ = std::move(*cohort);
  server->members_.resize(server->cohort_->members());
  for (std::uint32_t i = 0; i < server->cohort_->members(); ++i) server->members_[i].neighbours = server->cohort_->neighbours(i);
  for (const RosterEntry& entry : roster.entries) server->joins_.emplace(entry.credential.subject, entry);
  COVEY_TRY_VOID(server->read_members(in));
  const Digest reservation = in.fixed<Digest>();
  if (server->survivors_.count() > 0)
    server->open_agreement(server->survivors_, reservation);
  else if (reservation != Digest{})
    return corrupted("a reservation without survivors");
  COVEY_TRY_VOID(server->read_votes(in));
  COVEY_TRY_VOID(in.finish("the snapshot of a secure aggregation"));
  server->phase_ = static_cast<Phase>(phase);
  const bool agreed = server->phase_ == Phase::kAgreeing || server->phase_ == Phase::kUnmasking || server->phase_ == Phase::kCommitted;
  if (agreed && server->survivors_.count() == 0) return corrupted("its phase has no survivors");
  if ((server->phase_ == Phase::kUnmasking || server->phase_ == Phase::kCommitted) && !server->certificate_)
    return corrupted("its phase has no certificate");
  return server;
}

}  // namespace covey
