#include "sim/secure_checker.h"

#include <algorithm>

#include "aggregation/aggregator.h"
#include "client/mask_work.h"
#include "privacy/attempt_book.h"
#include "privacy/ring_encoder.h"
#include "privacy/secagg_server.h"

namespace covey {
namespace {

std::string of(const PeerKey& client) { return " of client " + short_hex(client); }

std::optional<AttemptRecord> durable_record(const Digest& sid, const SecureChecker::Disk& disk) {
  const auto row = disk.row(std::string(kAttemptPrefix) + hex(sid.span()));
  if (!row) return std::nullopt;
  auto record = decode_attempt_record(*row);
  return record ? std::optional(*std::move(record)) : std::nullopt;
}

std::optional<AttemptState> durable_state(const Digest& sid, const SecureChecker::Disk& disk) {
  const auto record = durable_record(sid, disk);
  return record ? std::optional(record->state) : std::nullopt;
}

void share_in_turn(std::size_t count, const std::function<void(std::size_t)>& part) {
  for (std::size_t i = 0; i < count; ++i) part(i);
}

}  // namespace

SecureChecker::Finding SecureChecker::on_mask(const PeerKey& client, const MaskUpdate& work, BlobStore& blobs) {
  auto encoded = encoded_vectors(work, {.blobs = blobs, .client = client});
  if (!encoded) return std::nullopt;  // a liar's update; the work fails likewise
  Attempt& attempt = attempts_[work.offer.key];
  const auto known = attempt.encoded.find(client);
  if (known != attempt.encoded.end() && known->second != *encoded)
    return "the encoding" + of(client) + " changed within " + to_text(work.offer.key) + ": one key masked two vectors";
  attempt.encoded.insert_or_assign(client, std::move(*encoded));
  return std::nullopt;
}

void SecureChecker::on_masked(const PeerKey& client, const RoundKey& key, const UpdateMasked& result) {
  attempts_[key].masked.insert_or_assign(result.vectors.id, client);
}

SecureChecker::Finding SecureChecker::on_client_message(const PeerKey& client, const Message& message, const Disk& disk) {
  if (const auto* ready = std::get_if<MaskedReady>(&message)) {
    const auto note = decode_secagg_message(ready->note);
    const auto* masked = note ? std::get_if<MaskedMessage>(&*note) : nullptr;
    if (masked == nullptr) return "the masked update" + of(client) + " has no signed note";
    const auto state = durable_state(masked->id.sid, disk);
    if (!state || *state < AttemptState::kMasked) return "a masked vector left before the record" + of(client) + " was durable";
    if (const auto [known, fresh] = masked_.try_emplace({client, masked->id.sid}, masked->masked); !fresh && known->second != masked->masked)
      return "two masked vectors" + of(client) + " left in one attempt";
    attempts_[ready->key].sent.emplace(client, ready->vectors.id);
    return std::nullopt;
  }
  std::optional<Bytes> content;
  if (const auto* note = std::get_if<SecAggNote>(&message)) content = note->content;
  if (const auto* letter = std::get_if<SecAggLetter>(&message)) content = disk.blob(letter->content.id);
  if (!content) return std::nullopt;
  const auto said = decode_secagg_message(*content);
  if (!said) return "a message of secure aggregation" + of(client) + " does not decode: " + said.error().message;
  return on_secagg(client, *said, disk);
}

SecureChecker::Finding SecureChecker::on_secagg(const PeerKey& client, const SecAggMessage& message, const Disk& disk) {
  if (const auto* join = std::get_if<JoinMessage>(&message); join != nullptr && !durable_state(join->sid, disk))
    return "a join" + of(client) + " left before its record was durable";
  if (const auto* vote = std::get_if<VoteMessage>(&message)) return on_vote(client, *vote, disk);
  if (const auto* unmask = std::get_if<UnmaskMessage>(&message)) return on_shares(client, *unmask, disk);
  if (const auto* seeds = std::get_if<PairSeedsMessage>(&message)) return on_seeds(client, *seeds);
  return std::nullopt;
}

SecureChecker::Finding SecureChecker::on_vote(const PeerKey& client, const VoteMessage& vote, const Disk& disk) {
  const auto record = durable_record(vote.id.sid, disk);
  const bool aborts = vote.verdict == Verdict::kAbort;
  const AttemptState least = aborts ? AttemptState::kVotedAbort : AttemptState::kVotedCommit;
  if (!record || record->state < least || (aborts && record->state == AttemptState::kUnmasked))
    return "a vote" + of(client) + " left before its record was durable";
  Votes& votes = votes_[{client, vote.id.sid}];
  const Bytes said = encode(SecAggMessage(vote));
  if (!aborts && !votes.abort.empty() && votes.commit != said) return "a COMMIT" + of(client) + " left after its ABORT";
  if (aborts && !votes.commit.empty() && !record->complete) return "an ABORT" + of(client) + " left after its COMMIT, on a ring";
  if (aborts && revealed_.contains({client, vote.id.sid})) return "an ABORT" + of(client) + " left after its shares";
  Bytes& known = aborts ? votes.abort : votes.commit;
  if (!known.empty() && known != said) return "two votes" + of(client) + " left in one attempt";
  if (aborts && known.empty()) ++aborts_[vote.id.root];
  known = said;
  return std::nullopt;
}

SecureChecker::Finding SecureChecker::on_shares(const PeerKey& client, const UnmaskMessage& unmask, const Disk& disk) {
  if (durable_state(unmask.id.sid, disk) != AttemptState::kUnmasked)
    return "the shares" + of(client) + " left before its record was durable";
  if (const auto votes = votes_.find({client, unmask.id.sid}); votes != votes_.end() && !votes->second.abort.empty())
    return "the shares" + of(client) + " left after its ABORT";
  const auto [known, fresh] = revealed_.try_emplace({client, unmask.id.sid}, encode(SecAggMessage(unmask)));
  if (!fresh) {
    if (known->second != encode(SecAggMessage(unmask))) return "the shares" + of(client) + " left twice, and differ";
    return std::nullopt;
  }
  for (const RevealedShare& share : unmask.shares) {
    const auto [kind, first] = kinds_.try_emplace({unmask.id.root, share.dealer}, share.kind);
    if (!first && kind->second != share.kind)
      return "shares of both secrets of member " + std::to_string(share.dealer) + " left honest clients in one attempt";
  }
  return std::nullopt;
}

// Of members only whose masking key's shares this client let out before.
SecureChecker::Finding SecureChecker::on_seeds(const PeerKey& client, const PairSeedsMessage& told) {
  const auto revealed = revealed_.find({client, told.id.sid});
  if (revealed == revealed_.end()) return "seeds" + of(client) + " left before its shares";
  const auto said = decode_secagg_message(revealed->second);
  const auto& shares = std::get<UnmaskMessage>(*said).shares;
  for (const PairSeed& seed : told.seeds)
    if (std::none_of(shares.begin(), shares.end(),
                     [&](const RevealedShare& share) { return share.dealer == seed.dealer && share.kind == ShareKind::kMaskingKey; }))
      return "a seed" + of(client) + " with member " + std::to_string(seed.dealer) + " left, which did not drop out";
  return std::nullopt;
}

bool SecureChecker::sent_masked(const PeerKey& client, const RoundKey& key) const {
  const auto found = attempts_.find(key);
  return found != attempts_.end() && std::any_of(found->second.sent.begin(), found->second.sent.end(),
                                                 [&](const auto& sent) { return sent.first == client; });
}

bool SecureChecker::on_accepted(const PeerKey& client, const RoundKey& key) {
  return attempts_[key].acknowledged.insert(client).second;
}

SecureChecker::Finding SecureChecker::on_unmask(const Unmask& work) const {
  const auto found = attempts_.find(work.key);
  if (found == attempts_.end()) return "the sum of " + to_text(work.key) + " is opened, and nobody masked for it";
  const Attempt& attempt = found->second;
  const SecAggCohort& cohort = *work.recovery->cohort;
  if (const auto aborts = aborts_.find(cohort.id().root); aborts != aborts_.end() && aborts->second >= cohort.graph().abort_quorum)
    return "the sum of " + to_text(work.key) + " is opened, and a quorum signed its ABORT";
  std::set<Digest> counted;
  for (const BlobRef& blob : work.vectors)
    if (!counted.insert(blob.id).second) return "one vector is counted twice in " + to_text(work.key);
  if (work.recovery->survivors.count() != work.vectors.size())
    return "the sum of " + to_text(work.key) + " is of other members than those agreed on";
  for (const auto& [client, blob] : attempt.sent)
    if (attempt.acknowledged.contains(client) && !revoked_.contains(client) && !counted.contains(blob))
      return "the acknowledged vectors" + of(client) + " are missing from the sum of " + to_text(work.key);
  return std::nullopt;
}

// Nothing where a vector is a liar's own.
std::optional<SecureChecker::Vectors> SecureChecker::plain_sum(const Attempt& attempt, const Unmask& work) const {
  const std::vector<VectorSpec>& specs = work.recovery->vectors;
  Vectors sum;
  for (const VectorSpec& spec : specs) sum.emplace_back(static_cast<std::size_t>(Ring::of_width(spec.width)->words(spec.values)));
  for (const BlobRef& blob : work.vectors) {
    const auto owner = attempt.masked.find(blob.id);
    if (owner == attempt.masked.end()) return std::nullopt;
    const Vectors& own = attempt.encoded.at(owner->second);
    for (std::size_t v = 0; v < specs.size(); ++v) combine(sum[v], own[v], Sign::kPlus, *Ring::of_width(specs[v].width));
  }
  return sum;
}

SecureChecker::Finding SecureChecker::on_unmasked(const Unmask& work, const Unmasked& result, BlobStore& blobs) {
  if (!result.closed.empty()) return std::nullopt;
  Attempt& attempt = attempts_[work.key];
  attempt.opened = true;
  ++opened_total_;
  const auto sum = plain_sum(attempt, work);
  if (!sum) return std::nullopt;
  const std::string what = "the opened sum of " + to_text(work.key);
  const auto figures = decode_figures(sum->back(), {static_cast<std::uint32_t>(work.vectors.size()), work.job.privacy.examples_max});
  if (!figures || figures->examples != result.examples || figures->train != result.train ||
      figures->evaluation != result.evaluation || figures->clamped != result.clamped)
    return what + " gives other figures than the plain sum of its survivors";
  if (result.aggregated.has_value() != (work.kind == RoundKind::kTrain)) return what + " gives a model where none is due, or none";
  if (!result.aggregated) return std::nullopt;
  const auto encoding = ring_encoding(encoding_terms(work.job), work.members_max);
  if (!encoding) return encoding.error().message;
  const Ring ring = *Ring::of_width(encoding->width);
  AggregateParts parts{blobs, 1, share_in_turn, nullptr, nullptr};
  parts.mean = [&](std::uint64_t first, std::span<double> mean) -> Result<void> {
    const std::uint64_t before = first % ring.lanes();
    std::vector<double> whole(static_cast<std::size_t>(before) + mean.size());
    decode_mean(std::span(sum->front()).subspan(static_cast<std::size_t>(first / ring.lanes()), static_cast<std::size_t>(ring.words(whole.size()))),
                *encoding, figures->examples, whole);
    std::copy(whole.begin() + static_cast<std::ptrdiff_t>(before), whole.end(), mean.begin());
    return {};
  };
  const auto expected = aggregate({work.key, work.job, work.model, work.optimizer_state, work.next_version, {}}, parts);
  if (!expected) return what + " cannot be made of the plain encodings: " + expected.error().message;
  if (expected->model != result.aggregated->model || expected->optimizer_state != result.aggregated->optimizer_state)
    return what + " gives another model than the plain sum of its survivors' encodings";
  return std::nullopt;
}

SecureChecker::Finding SecureChecker::on_closed(const RoundKey& key, bool committed) {
  const auto found = attempts_.find(key);
  if (found == attempts_.end() || found->second.sent.empty()) return std::nullopt;
  if (committed && !found->second.opened) return to_text(key) + " committed, and its sum was never opened";
  found->second.encoded.clear();  // a thousand updates need not be kept
  return std::nullopt;
}

}  // namespace covey
