#include "privacy/secagg_cohort.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/wire.h"
#include "core/crypto/digest.h"
#include "core/crypto/memory_hard.h"

namespace covey {
namespace {

Unexpected bad_roster(const std::string& what) {
  return unexpected(ErrorCode::kInvalidMessage, "the roster of the secure aggregation: " + what);
}
std::string named(std::size_t place) { return "member " + std::to_string(place); }

template <class Key>
bool all_distinct(std::vector<Key> keys) {
  std::sort(keys.begin(), keys.end());
  return std::adjacent_find(keys.begin(), keys.end()) == keys.end();
}

// Uniform below `bound`, by rejection.
class RingChance {
 public:
  explicit RingChance(const Secret<32>& seed) : stream_(seed) {}
  std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t limit = ~std::uint64_t{0} - ~std::uint64_t{0} % bound;  // a multiple of bound
    while (true) {
      std::array<std::uint8_t, 8> bytes{};
      stream_.fill(bytes);
      std::uint64_t value = 0;
      for (std::size_t i = 0; i < 8; ++i) value |= std::uint64_t{bytes[i]} << (8 * i);
      if (value < limit) return value % bound;
    }
  }

 private:
  Prg stream_;
};

}  // namespace

namespace {

constexpr std::size_t kClaimsAtOnce = 16;  // what one thread verifies at a time, about a millisecond

Digest name_of(const VerifyKey& key, std::string_view domain, ByteSpan message, const Signature& signature) {
  ByteWriter in;
  in.fixed(key).text(domain).blob(message).fixed(signature);
  return sha256(in.bytes());
}

}  // namespace

std::optional<bool> PublicWork::known(const Digest& name) const {
  if (memory_ == Memory::kForget) return recent_.contains(name) || older_.contains(name) ? std::optional(true) : std::nullopt;
  const auto found = signatures_.find(name);
  return found == signatures_.end() ? std::nullopt : std::optional(found->second);
}

void PublicWork::remember(const Digest& name, bool holds) {
  if (memory_ == Memory::kRemember) {
    signatures_.insert_or_assign(name, holds);
  } else if (holds && !recent_.contains(name)) {
    if (recent_.size() >= kRecentMax) older_ = std::exchange(recent_, {});
    recent_.insert(name);
  }
}

bool PublicWork::verified(const VerifyKey& key, std::string_view domain, ByteSpan message, const Signature& signature) {
  const Digest name = name_of(key, domain, message, signature);
  const std::optional<bool> before = known(name);
  const bool holds = before ? *before : verify(key, domain, message, signature);
  remember(name, holds);
  return holds;
}

// The threads see no memory of this: they verify, each its own part of what is not known.
std::vector<bool> PublicWork::all_verified(std::span<const SignedClaim> claims) {
  std::vector<Digest> names;
  std::vector<std::size_t> open;
  std::vector<std::uint8_t> holds(claims.size());  // not of bool: its bits cannot be written by two threads
  for (std::size_t i = 0; i < claims.size(); ++i) {
    names.push_back(name_of(claims[i].key, claims[i].domain, claims[i].message, claims[i].signature));
    const std::optional<bool> before = known(names.back());
    if (before)
      holds[i] = *before ? 1 : 0;
    else
      open.push_back(i);
  }
  const auto part = [&](std::size_t piece) {
    const std::size_t end = std::min(open.size(), (piece + 1) * kClaimsAtOnce);
    for (std::size_t at = piece * kClaimsAtOnce; at < end; ++at) {
      const SignedClaim& claim = claims[open[at]];
      holds[open[at]] = verify(claim.key, claim.domain, claim.message, claim.signature) ? 1 : 0;
    }
  };
  const std::size_t pieces = (open.size() + kClaimsAtOnce - 1) / kClaimsAtOnce;
  if (share_ && pieces > 1)
    share_(pieces, part);
  else
    for (std::size_t piece = 0; piece < pieces; ++piece) part(piece);
  std::vector<bool> answers;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    remember(names[i], holds[i] != 0);
    answers.push_back(holds[i] != 0);
  }
  return answers;
}

SignedClaim credential_claim(const RosterEntry& entry, const VerifyKey& authority) {
  return {authority, kCredentialDomain, signed_bytes(entry.credential), entry.credential.signature};
}
SignedClaim join_claim(const RosterEntry& entry, const Digest& sid, const Digest& config_hash) {
  return {entry.credential.key, kJoinDomain, join_statement(entry, sid, config_hash), entry.signature};
}

Result<std::shared_ptr<const SecAggCohort>> PublicWork::cohort(const SecAggConfig& config, const VerifyKey& authority,
                                                               const RosterMessage& roster) {
  if (memory_ == Memory::kForget) return SecAggCohort::of(config, authority, roster, *this);
  ByteWriter in;
  in.fixed(authority).fixed(root_of(sid_of(config), hash_of(config), roster));
  const Digest name = sha256(in.bytes());
  if (const auto found = cohorts_.find(name); found != cohorts_.end()) return found->second;
  PublicWork once(Memory::kForget, share_);  // what a cohort verified is remembered whole
  COVEY_TRY(auto made, SecAggCohort::of(config, authority, roster, once));
  cohorts_.emplace(name, made);
  return made;
}

RosterRoot root_of(const Digest& sid, const Digest& config_hash, const RosterMessage& roster) {
  ByteWriter in;
  in.text("covey secagg root v1").fixed(sid).fixed(config_hash).blob(encode(SecAggMessage(roster)));
  return *fixed_from<RosterRoot>(sha256(in.bytes()).span());
}

Result<std::shared_ptr<const SecAggCohort>> SecAggCohort::of(const SecAggConfig& config, const VerifyKey& authority,
                                                             const RosterMessage& roster, PublicWork& work) {
  std::shared_ptr<SecAggCohort> cohort(new SecAggCohort);
  cohort->id_.sid = sid_of(config);
  cohort->config_hash_ = hash_of(config);
  if (roster.sid != cohort->id_.sid) return bad_roster("it is of another attempt");
  if (roster.entries.size() < config.members_min || roster.entries.size() > config.members_max)
    return bad_roster(std::to_string(roster.entries.size()) + " members, where " + std::to_string(config.members_min) +
                      " to " + std::to_string(config.members_max) + " were agreed on");
  cohort->id_.root = root_of(roster.sid, cohort->config_hash_, roster);
  cohort->entries_ = roster.entries;
  const auto members = static_cast<std::uint32_t>(roster.entries.size());
  COVEY_TRY(cohort->graph_, graph_of(config, members));
  cohort->survivors_needed_ = covey::survivors_needed(config, members);
  COVEY_TRY_VOID(cohort->check_entries(config, authority, work));
  for (const RosterEntry& entry : cohort->entries_)
    if (!entry.has_aes) cohort->cipher_ = PrgCipher::kChaCha20;
  COVEY_TRY_VOID(cohort->lay_ring());
  return std::shared_ptr<const SecAggCohort>(std::move(cohort));
}

Result<void> SecAggCohort::check_entries(const SecAggConfig& config, const VerifyKey& authority, PublicWork& work) const {
  std::vector<VerifyKey> signing;
  std::vector<Bytes> fresh;  // sealing and masking keys together: none twice in either role
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    const RosterEntry& e = entries_[i];
    if (i > 0 && entries_[i - 1].credential.subject >= e.credential.subject)
      return bad_roster("a subject twice, or out of order, at " + named(i));
    if (e.credential.epoch != config.credential_epoch)
      return bad_roster(named(i) + "'s credential is of epoch " + std::to_string(e.credential.epoch) + ", not " +
                        std::to_string(config.credential_epoch));
    signing.push_back(e.credential.key);
    fresh.emplace_back(e.sealing_key.bytes.begin(), e.sealing_key.bytes.end());
    fresh.emplace_back(e.masking_key.bytes.begin(), e.masking_key.bytes.end());
  }
  if (!all_distinct(std::move(signing)) || !all_distinct(std::move(fresh))) return bad_roster("a key is there twice");
  std::vector<SignedClaim> claims;
  claims.reserve(2 * entries_.size());
  for (const RosterEntry& e : entries_) {
    claims.push_back(credential_claim(e, authority));
    claims.push_back(join_claim(e, id_.sid, config_hash_));
  }
  const std::vector<bool> holds = work.all_verified(claims);
  const auto first = static_cast<std::size_t>(std::find(holds.begin(), holds.end(), false) - holds.begin());
  if (first == holds.size()) return {};
  if (first % 2 == 0) return bad_roster(named(first / 2) + "'s credential is not from the authority that this member trusts");
  return bad_roster(named(first / 2) + " did not sign its keys for these terms");
}

// A seed that is dear to compute keeps the coordinator from trying many rosters for a ring it likes.
Result<std::vector<std::uint32_t>> ring_order(const AttemptId& id, std::uint32_t members) {
  MemoryHardSalt salt;
  std::copy_n(id.sid.bytes.begin(), salt.bytes.size(), salt.bytes.begin());
  COVEY_TRY(const Digest hard, memory_hard_hash(id.root.span(), salt));
  ByteWriter in;
  in.text("covey secagg ring v1").fixed(id.sid).fixed(hard);
  const Digest seed = blake2b_256(in.bytes());
  RingChance chance{Secret<32>(seed.bytes)};
  std::vector<std::uint32_t> ring;
  for (std::uint32_t i = 0; i < members; ++i) ring.push_back(i);
  for (std::uint32_t i = members; i > 1; --i) std::swap(ring[i - 1], ring[chance.below(i)]);
  return ring;
}

Result<void> SecAggCohort::lay_ring() {
  const std::uint32_t n = graph_.members;
  position_.resize(n);
  if (graph_.complete) {
    for (std::uint32_t i = 0; i < n; ++i) committee_.push_back(i), position_[i] = i;
    return {};
  }
  COVEY_TRY(ring_, ring_order(id_, n));
  for (std::uint32_t at = 0; at < n; ++at) position_[ring_[at]] = at;
  committee_.assign(ring_.begin(), ring_.begin() + graph_.committee);
  std::sort(committee_.begin(), committee_.end());
  return {};
}

std::vector<std::uint32_t> SecAggCohort::neighbours(std::uint32_t member) const {
  COVEY_CHECK(member < members());
  std::vector<std::uint32_t> result;
  result.reserve(graph_.degree);
  if (graph_.complete) {
    for (std::uint32_t i = 0; i < members(); ++i)
      if (i != member) result.push_back(i);
    return result;
  }
  const std::uint32_t n = members(), at = position_[member];
  for (std::uint32_t step = 1; step <= graph_.degree / 2; ++step) {
    result.push_back(ring_[(at + step) % n]);
    result.push_back(ring_[(at + n - step) % n]);
  }
  std::sort(result.begin(), result.end());
  return result;
}

bool SecAggCohort::are_neighbours(std::uint32_t a, std::uint32_t b) const {
  if (a >= members() || b >= members() || a == b) return false;
  if (graph_.complete) return true;
  const std::uint32_t n = members(), gap = (position_[a] + n - position_[b]) % n;
  return std::min(gap, n - gap) <= graph_.degree / 2;
}

bool SecAggCohort::in_committee(std::uint32_t member) const {
  return member < members() && (graph_.complete || position_[member] < graph_.committee);
}

bool SecAggCohort::every_window_holds(const MemberSet& set) const {
  if (graph_.complete) return true;
  const std::uint32_t n = members(), length = graph_.degree / 2;
  std::uint32_t held = 0;
  for (std::uint32_t at = 0; at < length; ++at) held += set.contains(ring_[at]) ? 1 : 0;
  for (std::uint32_t start = 0; start < n; ++start) {
    if (held < graph_.window) return false;
    held -= set.contains(ring_[start]) ? 1 : 0;
    held += set.contains(ring_[(start + length) % n]) ? 1 : 0;
  }
  return true;
}

Result<void> SecAggCohort::check_certificate(const OutcomeMessage& outcome, ByteSpan statement, PublicWork& work) const {
  std::vector<std::pair<std::uint32_t, VerifyKey>> keys;
  for (const std::uint32_t member : committee_) keys.emplace_back(member, entries_[member].credential.key);
  const std::uint32_t quorum = outcome.verdict == Verdict::kAbort ? graph_.abort_quorum : graph_.quorum;
  return check_signatures(outcome, statement, quorum, keys, work);
}

Result<void> check_signatures(const OutcomeMessage& outcome, ByteSpan statement, std::uint32_t quorum,
                              const std::vector<std::pair<std::uint32_t, VerifyKey>>& committee, PublicWork& work) {
  const auto refused = [&](const std::string& why) {
    return unexpected(ErrorCode::kInvalidMessage, "the committee's certificate: " + why);
  };
  if (outcome.signatures.size() < quorum || outcome.signatures.size() > committee.size())
    return refused(std::to_string(outcome.signatures.size()) + " signatures, where " + std::to_string(quorum) + " to " +
                   std::to_string(committee.size()) + " make one");
  const CommitteeSignature* before = nullptr;
  for (const CommitteeSignature& s : outcome.signatures) {
    const auto at = std::lower_bound(committee.begin(), committee.end(), s.member,
                                     [](const auto& entry, std::uint32_t member) { return entry.first < member; });
    if (at == committee.end() || at->first != s.member) return refused(named(s.member) + " is not in the committee");
    if (before != nullptr && before->member >= s.member) return refused(named(s.member) + " is there twice, or out of order");
    if (!work.verified(at->second, kOutcomeDomain, statement, s.signature))
      return refused(named(s.member) + " did not sign this outcome");
    before = &s;
  }
  return {};
}

Secret<32> mask_seed(const AttemptId& id, const RosterEntry& one, const RosterEntry& other, const Secret<32>& shared,
                     const Digest& maskers) {
  const bool ordered = one.credential.subject < other.credential.subject;
  const RosterEntry& a = ordered ? one : other;
  const RosterEntry& b = ordered ? other : one;
  ByteWriter info;  // H(model) is within H(config), which is within the root
  info.text("covey secagg mask v1").fixed(a.credential.subject).fixed(b.credential.subject);
  info.fixed(a.masking_key).fixed(b.masking_key).fixed(id.root).fixed(maskers);
  Secret<32> seed;
  hkdf_sha256({shared.expose(), id.sid.span(), info.bytes()}, seed.expose());
  return seed;
}

Secret<32> sealing_key(const AttemptId& id, const RosterEntry& from, const RosterEntry& to, const Secret<32>& shared) {
  ByteWriter info;
  info.text("covey secagg enc v1").fixed(from.credential.subject).fixed(to.credential.subject);
  info.fixed(from.sealing_key).fixed(to.sealing_key).fixed(id.root);
  Secret<32> key;
  hkdf_sha256({shared.expose(), id.sid.span(), info.bytes()}, key.expose());
  return key;
}

Bytes sealing_context(const AttemptId& id, std::uint32_t from, std::uint32_t to) {
  ByteWriter out;
  return out.fixed(id.sid).fixed(id.root).u32(from).u32(to).take();
}

Digest self_mask_commitment(const AttemptId& id, std::uint32_t member, const Secret<32>& seed) {
  ByteWriter in;
  in.text("covey secagg self mask v1").fixed(id.sid).fixed(id.root).u32(member).raw(seed.expose());
  Bytes text = in.take();
  const Digest commitment = blake2b_256(text);
  wipe(text);
  return commitment;
}

}  // namespace covey
