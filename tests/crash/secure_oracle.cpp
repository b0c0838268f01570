#include "tests/crash/secure_oracle.h"

#include <algorithm>

#include "aggregation/aggregator.h"
#include "core/protocol/exchanged.h"
#include "core/protocol/ledger.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"
#include "privacy/ring_encoder.h"

namespace covey::crash {
namespace {

constexpr std::size_t kMembersMax = 16;  // whose subsets are tried

std::string hex_of(const Digest& digest) { return hex(digest.span()); }

// As a client kept it, or nothing.
std::optional<AttemptRecord> record_in(const BootReport& boot, const Digest& sid) {
  const std::string key = std::string(kAttemptPrefix) + hex_of(sid);
  for (const Row& row : boot.rows) {
    if (row.key != key) continue;
    auto record = decode_attempt_record(row.value);
    if (record) return *std::move(record);
  }
  return std::nullopt;
}

std::optional<Verdict> verdict_in(const std::map<std::string, Bytes>& rows, const RoundKey& key) {
  const auto row = rows.find(outcome_key(key));
  if (row == rows.end()) return std::nullopt;
  const auto value = secagg_of_value(row->second);
  const auto message = value ? decode_secagg_message(*value) : Result<SecAggMessage>(unexpected(value.error()));
  const auto* outcome = message ? std::get_if<OutcomeMessage>(&*message) : nullptr;
  return outcome == nullptr ? std::nullopt : std::optional(outcome->verdict);
}

}  // namespace

std::size_t SecureOracle::acknowledged() const {
  std::size_t count = 0;
  for (const auto& [key, attempt] : attempts_) count += attempt.acknowledged.size();
  return count;
}

std::size_t SecureOracle::aborted() const {
  return static_cast<std::size_t>(
      std::count_if(attempts_.begin(), attempts_.end(), [](const auto& entry) { return entry.second.abort_shown; }));
}

// ---- what a client says

void SecureOracle::on_encoded(const PeerKey& client, Encoded encoded) {
  auto& known = attempts_[encoded.key].encoded;
  const auto before = known.find(client);
  if (before != known.end() && before->second.vectors != encoded.vectors)
    find_(who(client) + " encoded two updates in " + to_text(encoded.key) + ": one key would mask both");
  known.insert_or_assign(client, std::move(encoded));
}

void SecureOracle::on_client(const PeerKey& from, const Message& message) {
  if (const auto* ready = std::get_if<MaskedReady>(&message)) return on_masked(from, *ready);
  const auto* note = std::get_if<SecAggNote>(&message);
  if (note == nullptr || !watched_.contains(from)) return;
  const auto said = decode_secagg_message(note->content);
  if (!said) return find_(who(from) + " said what does not decode: " + said.error().message);
  on_said(from, note->key, *said);
}

void SecureOracle::on_masked(const PeerKey& from, const MaskedReady& ready) {
  Attempt& attempt = attempts_[ready.key];
  attempt.sent[from].insert(ready.vectors);
  if (!watched_.contains(from)) return;
  announced_.insert_or_assign({from, ready.key}, ready);
  const auto note = decode_secagg_message(ready.note);
  const auto* masked = note ? std::get_if<MaskedMessage>(&*note) : nullptr;
  if (masked == nullptr) return find_("the masked vectors of " + who(from) + " in " + to_text(ready.key) + " have no signed note");
  Said& said = said_[from][masked->id.sid];
  said.key = ready.key;
  if (said.masked && *said.masked != masked->masked) find_(who(from) + " masked two vectors in " + to_text(ready.key));
  said.masked = masked->masked;
  if (!said.abort.empty()) find_("masked vectors of " + who(from) + " in " + to_text(ready.key) + " left after its ABORT");
}

void SecureOracle::on_said(const PeerKey& from, const RoundKey& key, const SecAggMessage& message) {
  if (const auto* join = std::get_if<JoinMessage>(&message)) on_join(from, key, *join);
  if (const auto* vote = std::get_if<VoteMessage>(&message)) on_vote(from, *vote);
  const auto* unmask = std::get_if<UnmaskMessage>(&message);
  if (unmask == nullptr) return;
  Said& said = said_[from][unmask->id.sid];
  const Bytes whole = encode(message);
  if (!said.reveal.empty() && said.reveal != whole) find_("the shares of " + who(from) + " left twice, and differ");
  if (!said.abort.empty()) find_("the shares of " + who(from) + " left after its ABORT");
  said.reveal = whole;
}

// While a masked vector may be out, of the same round and with no ABORT, nothing else begins.
void SecureOracle::on_join(const PeerKey& from, const RoundKey& key, const JoinMessage& join) {
  for (const auto& [sid, said] : said_[from])
    if (sid != join.sid && said.masked && !said.abort_told && said.key.job == key.job && said.key.round == key.round)
      find_(who(from) + " joined " + to_text(key) + ", and what it masked in " + to_text(said.key) + " may still be out");
  Said& said = said_[from][join.sid];
  said.key = key;
  said.joined = true;
}

void SecureOracle::on_vote(const PeerKey& from, const VoteMessage& vote) {
  Said& said = said_[from][vote.id.sid];
  const bool aborts = vote.verdict == Verdict::kAbort;
  Bytes& own = aborts ? said.abort : said.commit;
  const Bytes whole = encode(SecAggMessage(vote));
  if (!own.empty() && own != whole) find_("two votes of " + who(from) + " left in one attempt");
  if (!aborts && own.empty() && !said.abort.empty()) find_("a COMMIT of " + who(from) + " left after its ABORT");
  if (aborts && !said.reveal.empty()) find_("an ABORT of " + who(from) + " left after its shares");
  own = whole;
}

// ---- what the coordinator shows

void SecureOracle::on_coordinator(const PeerKey& to, const Message& message) {
  if (const auto* note = std::get_if<SecAggNote>(&message)) {
    const auto said = decode_secagg_message(note->content);
    if (said) on_shown(note->key, *said);
    if (!said) find_("the coordinator said what does not decode: " + said.error().message);
  }
  if (const auto* accepted = std::get_if<UpdateAccepted>(&message)) {
    Attempt& attempt = attempts_[accepted->key];
    if (!attempt.sent.contains(to)) find_("masked vectors of " + who(to) + " in " + to_text(accepted->key) + " were acknowledged that it never sent");
    attempt.acknowledged.insert(to);
  }
  if (const auto* closed = std::get_if<RoundClosed>(&message); closed != nullptr && closed->committed) {
    Attempt& attempt = attempts_[closed->key];
    attempt.committed = true;
    if (!attempt.commit_shown) find_(to_text(closed->key) + " was said to be committed, and no certificate of its members was shown");
    if (attempt.abort_shown) find_(to_text(closed->key) + " was said to be committed after its ABORT");
  }
}

void SecureOracle::on_shown(const RoundKey& key, const SecAggMessage& message) {
  Attempt& attempt = attempts_[key];
  if (const auto* order = std::get_if<MaskOrderMessage>(&message)) {
    if (attempt.order && (attempt.order->id != order->id || attempt.order->maskers != order->maskers))
      find_("two orders to mask were shown in " + to_text(key));
    attempt.order = *order;
  }
  if (const auto* survivors = std::get_if<SurvivorsMessage>(&message)) {
    if (attempt.survivors && (attempt.survivors->survivors != survivors->survivors || attempt.survivors->reservation != survivors->reservation))
      find_("two lists of survivors were shown in " + to_text(key));
    attempt.survivors = *survivors;
  }
  const auto* outcome = std::get_if<OutcomeMessage>(&message);
  if (outcome == nullptr) return;
  const bool commits = outcome->verdict == Verdict::kCommit;
  if (commits && attempt.abort_shown && !attempt.commit_shown) find_("a COMMIT of " + to_text(key) + " was shown after its ABORT");
  if (!commits && attempt.committed) find_("an ABORT of " + to_text(key) + " was shown, which was said to be committed");
  (commits ? attempt.commit_shown : attempt.abort_shown) = true;
}

void SecureOracle::told_client(const PeerKey& client, const Message& message) {
  const auto answered = [&](const RoundKey& key) { announced_.erase({client, key}); };
  if (const auto* accepted = std::get_if<UpdateAccepted>(&message)) answered(accepted->key);
  if (const auto* refused = std::get_if<UpdateRefused>(&message)) answered(refused->key);
  if (const auto* closed = std::get_if<RoundClosed>(&message)) answered(closed->key);
  if (const auto* offer = std::get_if<RoundOffer>(&message))
    std::erase_if(announced_, [&](const auto& entry) { return entry.first.first == client && entry.first.second != offer->key; });
  const auto* note = std::get_if<SecAggNote>(&message);
  const auto said = note == nullptr ? Result<SecAggMessage>(unexpected(ErrorCode::kNotFound, "")) : decode_secagg_message(note->content);
  const auto* outcome = said ? std::get_if<OutcomeMessage>(&*said) : nullptr;
  if (outcome != nullptr && outcome->verdict == Verdict::kAbort && watched_.contains(client))
    said_[client][outcome->id.sid].abort_told = true;
}

// ---- what a start finds

void SecureOracle::on_disk(const Disk& disk) {
  for (const auto& [key, attempt] : attempts_) judge_attempt(key, attempt, disk);
}

void SecureOracle::judge_attempt(const RoundKey& key, const Attempt& attempt, const Disk& disk) {
  const bool current = disk.summary && disk.summary->state == JobState::kRunning && key.round == disk.summary->round + 1;
  if (attempt.order && current && !disk.rows.contains(mask_key(key)))
    find_("the order to mask of " + to_text(key) + " was shown; the disk does not know of it");
  if (attempt.abort_shown && current && verdict_in(disk.rows, key) != Verdict::kAbort)
    find_("the ABORT of " + to_text(key) + " was shown; the disk does not hold it");
  const auto row = disk.rows.find(round_key(key));
  if (row == disk.rows.end()) return;  // released, which the end judges, or abandoned
  judge_vectors(key, attempt, disk);
  const auto round = decode_round_row(row->second);
  if (attempt.survivors && (!round || !round->frozen() || round->survivors.size() != attempt.survivors->survivors.count()))
    find_("the survivors of " + to_text(key) + " were shown; on the disk it is not frozen with them");
  if (attempt.commit_shown && verdict_in(disk.rows, key) != Verdict::kCommit)
    find_("the members' COMMIT of " + to_text(key) + " was shown; the disk does not hold it");
}

// Acknowledged masked vectors of an attempt in progress are there: their client forgets them.
void SecureOracle::judge_vectors(const RoundKey& key, const Attempt& attempt, const Disk& disk) {
  for (const PeerKey& peer : attempt.acknowledged) {
    const std::string what = "the acknowledged vectors of " + who(peer) + " in " + to_text(key);
    const auto row = disk.rows.find(update_key(key, peer));
    const auto update = row == disk.rows.end() ? Result<UpdateRow>(unexpected(ErrorCode::kNotFound, "no row")) : decode_update_row(row->second);
    if (!update || !update->update.update) {
      find_(what + " are not on the disk");
      continue;
    }
    const auto sent = attempt.sent.find(peer);
    if (sent == attempt.sent.end() || !sent->second.contains(*update->update.update) || update->note.empty())
      find_("the disk holds other vectors than " + who(peer) + " sent in " + to_text(key));
    if (disk.blobs != nullptr && !disk.blobs->contains(update->update.update->id)) find_("the blob of " + what + " is gone");
  }
}

void SecureOracle::on_client_boot(const PeerKey& client, const BootReport& boot) {
  for (const auto& [sid, said] : said_[client]) judge_record(client, said, record_in(boot, sid));
  const std::set<Digest> blobs(boot.blobs.begin(), boot.blobs.end());
  for (const auto& [of, ready] : announced_) {
    if (of.first != client) continue;
    const bool kept = std::any_of(boot.rows.begin(), boot.rows.end(), [&](const Row& row) {
      return row.key.starts_with("masked/") && std::search(row.value.begin(), row.value.end(), ready.vectors.id.bytes.begin(), ready.vectors.id.bytes.end()) != row.value.end();
    });
    if (!kept || !blobs.contains(ready.vectors.id))
      find_(who(client) + " announced its masked vectors in " + to_text(of.second) + ", got no answer, and has lost them");
  }
}

// What it said is in its record, for this start's process knows nothing else of it.
void SecureOracle::judge_record(const PeerKey& client, const Said& said, const std::optional<AttemptRecord>& record) {
  const auto missing = [&](const std::string& what) {
    find_(what + " of " + who(client) + " in " + to_text(said.key) + " left before its record was durable");
  };
  const auto is_one_of = [&](std::initializer_list<AttemptState> states) {
    return record && std::find(states.begin(), states.end(), record->state) != states.end();
  };
  using enum AttemptState;
  if (said.joined && !record) missing("the keys");
  if (said.masked && !(record && record->masked && record->state >= kMasked)) missing("masked vectors");
  if (!said.commit.empty() && !is_one_of({kVotedCommit, kVotedAbort, kUnmasked, kAborted})) missing("a COMMIT");
  if (!said.abort.empty() && !is_one_of({kVotedAbort, kAborted})) missing("an ABORT");
  if (!said.reveal.empty() && !is_one_of({kUnmasked, kAborted})) missing("the shares");
}

// ---- the end

// Whose vectors the ledger record names: found among what was sent.
std::optional<std::vector<PeerKey>> SecureOracle::named_by(const Attempt& attempt, const Digest& contributions) const {
  std::vector<std::pair<PeerKey, BlobRef>> sent;
  for (const auto& [peer, blobs] : attempt.sent)
    if (blobs.size() == 1) sent.emplace_back(peer, *blobs.begin());
  if (sent.size() > kMembersMax) return std::nullopt;
  for (std::uint32_t subset = 1; subset < (1U << sent.size()); ++subset) {
    std::vector<NamedContribution> named;
    std::vector<PeerKey> peers;
    for (std::size_t i = 0; i < sent.size(); ++i) {
      if ((subset >> i & 1U) == 0) continue;
      named.push_back({sent[i].first, {sent[i].second, 1}});
      peers.push_back(sent[i].first);
    }
    if (contributions_digest(named) == contributions) return peers;
  }
  return std::nullopt;
}

namespace {

using Vectors = std::vector<std::vector<std::uint64_t>>;

// The model of this manifest, as far as it went over the network.
bool lay_model(MemoryBlobs& blobs, const BlobRef& manifest, const SecureOracle::ValueOf& value_of) {
  const auto encoded = value_of(manifest);
  const auto decoded = encoded ? decode_manifest(*encoded) : Result<ModelManifest>(unexpected(ErrorCode::kNotFound, ""));
  if (!decoded || !blobs.put(*encoded)) return false;
  for (const BlobRef& shard : decoded->shards) {
    const auto value = value_of(shard);
    if (!value || !blobs.put(*value)) return false;
  }
  return true;
}

void in_turn(std::size_t count, const std::function<void(std::size_t)>& part) {
  for (std::size_t i = 0; i < count; ++i) part(i);
}

// One server step on the mean that the summed encodings give.
Result<Aggregated> step(const Aggregate& work, const std::vector<std::uint64_t>& sum, std::uint32_t members_max, std::uint64_t examples,
                        BlobStore& blobs) {
  COVEY_TRY(const RingEncoding encoding, ring_encoding(encoding_terms(work.job), members_max));
  COVEY_TRY(const Ring ring, Ring::of_width(encoding.width));
  AggregateParts parts{blobs, 1, in_turn, nullptr, nullptr};
  parts.mean = [&](std::uint64_t first, std::span<double> mean) -> Result<void> {
    const std::uint64_t before = first % ring.lanes();
    std::vector<double> whole(static_cast<std::size_t>(before) + mean.size());
    const auto words = std::span(sum).subspan(static_cast<std::size_t>(first / ring.lanes()), static_cast<std::size_t>(ring.words(whole.size())));
    decode_mean(words, encoding, examples, whole);
    std::copy(whole.begin() + static_cast<std::ptrdiff_t>(before), whole.end(), mean.begin());
    return {};
  };
  return aggregate(work, parts);
}

}  // namespace

SecureOracle::Judged SecureOracle::judge(const Committed& round, const ValueOf& value_of) {
  const Attempt& attempt = attempts_[round.key];
  const std::string what = to_text(round.key);
  const auto named = named_by(attempt, round.contributions);
  if (!named) return find_("the ledger record of " + what + " names vectors that nobody sent"), Judged{};
  if (named->size() != round.metrics.delivered) find_(what + " counts " + std::to_string(round.metrics.delivered) + " members; its ledger record names " + std::to_string(named->size()));
  for (const PeerKey& peer : attempt.acknowledged)
    if (std::find(named->begin(), named->end(), peer) == named->end()) find_("the acknowledged vectors of " + who(peer) + " are missing from the committed " + what);
  const RoundKind kind = round.after ? RoundKind::kTrain : RoundKind::kEvaluate;
  std::uint32_t members_max = 0;
  Vectors sum;
  for (const PeerKey& peer : *named) {
    const auto own = attempt.encoded.find(peer);
    if (own == attempt.encoded.end()) return find_(what + " counts " + who(peer) + ", which encoded nothing in it"), Judged{};
    members_max = own->second.members_max;
    const auto specs = secure_vectors(scene_.job, kind, exchanged_size(scene_.job), members_max);
    COVEY_CHECK(specs.has_value() && specs->size() == own->second.vectors.size());
    if (sum.empty())
      for (const auto& vector : own->second.vectors) sum.emplace_back(vector.size());
    for (std::size_t v = 0; v < sum.size(); ++v) combine(sum[v], own->second.vectors[v], Sign::kPlus, *Ring::of_width((*specs)[v].width));
  }
  const auto figures = decode_figures(sum.back(), {static_cast<std::uint32_t>(named->size()), scene_.job.privacy.examples_max});
  if (!figures || figures->examples != round.metrics.examples || figures->evaluation.targets != round.metrics.evaluation.targets)
    find_(what + " tells other figures than the sum of its members' own");
  Judged judged{named->size(), false};
  MemoryBlobs blobs;
  if (!figures || !round.after || !round.before || !lay_model(blobs, *round.before, value_of)) return judged;
  const Aggregate work{round.key, scene_.job, *round.before, std::nullopt, round.key.round, {}};
  const auto expected = step(work, sum.front(), members_max, figures->examples, blobs);
  if (!expected) return find_(what + " cannot be summed: " + expected.error().message), judged;
  judged.model = true;
  if (expected->model != *round.after) find_("model " + std::to_string(round.key.round) + " is not the sum of the vectors that " + what + " counts, each once");
  return judged;
}

}  // namespace covey::crash
