#include "tests/crash/oracle.h"

#include <algorithm>
#include <cmath>

#include "aggregation/fixed_sum.h"
#include "core/crypto/digest.h"
#include "core/protocol/audit.h"
#include "core/protocol/manifest.h"
#include "core/protocol/records.h"

namespace covey::crash {
namespace {

constexpr std::size_t kVariantsMax = 4096;  // combinations of announced updates that a sum is tried with

std::uint64_t count_of(const std::map<RoundKey, std::uint64_t>& counts, const RoundKey& key) {
  const auto found = counts.find(key);
  return found == counts.end() ? 0 : found->second;
}

std::uint32_t small(std::string_view part) { return small_number_in_key(part).value_or(0); }

}  // namespace

// ---- what is shown

void Oracle::on_client(const PeerKey& from, const Message& message) {
  if (scene_.secure()) secure_.on_client(from, message);
  if (const auto* chunk = std::get_if<Chunk>(&message))
    if (!note_chunk(*chunk) && watched_.contains(from)) ++tally_.chunks_again;
  const auto* ready = std::get_if<UpdateReady>(&message);
  if (ready == nullptr) return;
  if (watched_.contains(from)) on_watched(from, *ready);
  Said& said = said_[ready->key][from];
  if (said.acknowledged && ready->update) {
    const bool known = std::any_of(said.before.begin(), said.before.end(),
                                   [&](const UpdateReady& other) { return other.update == ready->update; });
    if (!known && !std::exchange(said.changed, true)) ++tally_.changed;
    return;
  }
  said.before.push_back(*ready);
}

void Oracle::on_coordinator(const PeerKey& to, const Message& message) {
  if (const auto* chunk = std::get_if<Chunk>(&message)) (void)note_chunk(*chunk);
  if (const auto* offer = std::get_if<RoundOffer>(&message)) on_offer(to, *offer);
  if (const auto* closed = std::get_if<RoundClosed>(&message)) on_closed(*closed);
  if (scene_.secure()) {
    secure_.on_coordinator(to, message);
  } else {
    on_answer(to, message);
  }
  if (const auto* reply = std::get_if<OperatorReply>(&message))
    if (const auto* submitted = std::get_if<Submitted>(&reply->answer)) {
      submitted_.insert(submitted->job);
      if (submitted_.size() > 1) find("one job was submitted twice, as job " + std::to_string(submitted->job) + " too");
    }
}

void Oracle::on_answer(const PeerKey& to, const Message& message) {
  if (const auto* accepted = std::get_if<UpdateAccepted>(&message)) {
    Said& said = said_[accepted->key][to];
    if (said.before.empty()) return find("an update of " + who(to) + " in " + to_text(accepted->key) + " was acknowledged that it never announced");
    if (!std::exchange(said.acknowledged, true)) ++tally_.acknowledged;
  }
  if (const auto* refused = std::get_if<UpdateRefused>(&message)) {
    Said& said = said_[refused->key][to];
    if (!said.acknowledged) return;
    const ErrorCode code = refused->error.code;
    if (code != ErrorCode::kAlreadyExists && code != ErrorCode::kUnavailable)
      find("the acknowledged update of " + who(to) + " in " + to_text(refused->key) + " was refused: " + refused->error.message);
    if (said.changed && !std::exchange(said.changed_refused, true)) ++tally_.changed_refused;
    if (said.changed && code == ErrorCode::kAlreadyExists && !std::exchange(said.conflict, true)) ++tally_.conflicts;
  }
}

void Oracle::on_offer(const PeerKey& to, const RoundOffer& offer) {
  const RoundKey& key = offer.key;
  const auto [known, fresh] = offered_.try_emplace(key, offer.model);
  if (!fresh && known->second != offer.model) find(to_text(key) + " was offered with two models");
  if (fresh && offered_.upper_bound(key) != offered_.end())
    find(to_text(key) + " was first offered after " + to_text(offered_.rbegin()->first));
  const auto [model, first] = models_.try_emplace(key.round - 1, offer.model);
  if (!first && model->second != offer.model)
    find("model " + std::to_string(key.round - 1) + " changed between two attempts: " + to_text(key) + " shows another");
  if (closed_.contains(key.round)) find(to_text(key) + " was offered after its round was said to be committed");
  if (key.round > 1 && !models_.contains(key.round - 2)) find(to_text(key) + " was offered, but never the round before it");
  const auto attempt = said_.find(key);
  if (attempt == said_.end()) return;
  const auto said = attempt->second.find(to);
  if (said != attempt->second.end() && said->second.acknowledged)
    find(to_text(key) + " was offered to " + who(to) + " again after its update in it was acknowledged");
}

void Oracle::on_closed(const RoundClosed& closed) {
  if (!closed.committed) return;
  if (!offered_.contains(closed.key)) find(to_text(closed.key) + " was committed but never offered");
  const auto [known, fresh] = closed_.try_emplace(closed.key.round, closed.key);
  if (!fresh && known->second != closed.key) find(to_text(closed.key) + " was committed although " + to_text(known->second) + " was");
}

// ---- what a start finds

Oracle::Rows Oracle::look(const std::vector<Row>& rows) {
  Rows seen;
  for (const Row& row : rows) {
    seen.all[row.key] = row.value;
    const auto parts = key_parts(row.key);
    if (parts[0] == "job" && parts.size() == 3 && parts[2] == "state") {
      const auto summary = decode_job_summary(row.value);
      if (summary) seen.summary = *summary;
      if (!summary) find("row " + row.key + ": " + summary.error().message);
    }
    if (parts[0] == "model" && parts.size() == 3) {
      const auto model = decode_model_row(row.value);
      if (!model) {
        find("row " + row.key + ": " + model.error().message);
      } else if (const auto [at, fresh] = models_.try_emplace(small(parts[2]), model->manifest); !fresh && at->second != model->manifest) {
        find("model " + std::to_string(at->first) + " on the disk is not the one that was shown or stored before");
      }
    }
  }
  return seen;
}

void Oracle::judge_rows(const Rows& rows) {
  for (const JobId job : submitted_)
    if (!rows.has(job_spec_key(job)) || !rows.has(job_state_key(job))) find("job " + std::to_string(job) + " was acknowledged and is gone");
  for (const auto& [key, value] : final_rows_) {
    const auto row = rows.all.find(key);
    if (row == rows.all.end()) find("row " + key + " of a committed round is gone");
    else if (row->second != value) find("row " + key + " of a committed round changed");
  }
  for (const auto& [key, value] : rows.all)
    if (key.starts_with("metric/")) final_rows_.try_emplace(key, value);
  if (!rows.summary) {
    if (!offered_.empty()) find("a round was offered, but the disk knows no job");
    return;
  }
  const JobSummary& summary = *rows.summary;
  for (const auto& [round, key] : closed_) {
    const bool evaluation = round > summary.rounds;
    if (evaluation ? summary.state != JobState::kFinished : summary.round < round) {
      find(to_text(key) + " was said to be committed; on the disk the job stands at round " + std::to_string(summary.round));
      continue;
    }
    const auto row = rows.all.find(round_metrics_key(key.job, round));
    const auto metrics = row == rows.all.end() ? std::nullopt : std::optional(decode_round_metrics(row->second));
    if (!metrics || !*metrics || (*metrics)->attempt != key.attempt) find("the metrics of " + to_text(key) + ", which was said to be committed, are missing or of another attempt");
  }
  if (summary.state != JobState::kRunning || offered_.empty()) return;
  const RoundKey& newest = offered_.rbegin()->first;
  if (newest.round > summary.round + 1 || (newest.round == summary.round + 1 && summary.attempt < newest.attempt))
    find(to_text(newest) + " was offered; on the disk the job stands at round " + std::to_string(summary.round) +
         " attempt " + std::to_string(summary.attempt));
}

// An acknowledged update of an attempt in progress is there, whether its client would send it again or not.
void Oracle::judge_acknowledged(const Rows& rows, const std::set<Digest>* blobs) {
  for (const auto& [key, clients] : said_) {
    if (!rows.has(round_key(key))) continue;  // committed, which the end judges, or abandoned
    for (const auto& [peer, said] : clients) {
      if (!said.acknowledged) continue;
      const auto row = rows.all.find(update_key(key, peer));
      if (row == rows.all.end()) {
        find("the acknowledged update of " + who(peer) + " in " + to_text(key) + " is not on the disk");
        continue;
      }
      const auto update = decode_update_row(row->second);
      if (!update) {
        find("row " + row->first + ": " + update.error().message);
      } else if (std::none_of(said.before.begin(), said.before.end(), [&](const UpdateReady& ready) { return ready == update->update; })) {
        find("the disk holds another update of " + who(peer) + " in " + to_text(key) + " than it announced before the acknowledgement");
      } else if (blobs != nullptr && update->update.update && !blobs->contains(update->update.update->id)) {
        find("the blob of the acknowledged update of " + who(peer) + " in " + to_text(key) + " is gone");
      }
    }
  }
}

void Oracle::on_boot(const BootReport& boot) {
  const Rows rows = look(boot.rows);
  const std::set<Digest> blobs(boot.blobs.begin(), boot.blobs.end());
  for (const Digest& needed : boot.needed)
    if (!blobs.contains(needed)) find("a row names blob " + short_hex(needed) + ", which is not on the disk");
  judge_rows(rows);
  judge_acknowledged(rows, &blobs);
  judge_ledger(rows);
  secure_.on_disk({rows.all, rows.summary, &blobs});
}

// ---- the chains

ChainHead Oracle::follow(const Rows& rows, std::string_view chain, const std::string& table, std::vector<Digest>& known) {
  ChainReader reader(chain);
  std::size_t at = 0;
  for (auto row = rows.all.lower_bound(table); row != rows.all.end() && row->first.starts_with(table); ++row, ++at) {
    const auto record = decode_chain_record(row->second);
    const auto followed = record ? reader.follow(*record) : Result<void>(unexpected(record.error()));
    if (!followed) {
      find("row " + row->first + ": " + followed.error().message);
      return reader.head();
    }
    const Digest hash = hash_of(chain, *record);
    if (at < known.size() && known[at] != hash) find("row " + row->first + " is another record than before");
    if (at >= known.size()) known.push_back(hash);
  }
  if (at < known.size()) find("the chain " + table + " shrank from " + std::to_string(known.size()) + " records to " + std::to_string(at));
  return reader.head();
}

void Oracle::judge_ledger(const Rows& rows) {
  tally_.ledger = follow(rows, kLedgerChain, "ledger/", ledger_).sequence;
  tally_.audit = follow(rows, kAuditChain, "audit/", audit_).sequence;
  if (tally_.audit == 0) return;  // nothing is said yet
  read_ledger(rows);
  judge_audit(rows);
  for (const auto& [round, key] : closed_)
    if (!allowed_.contains(key)) find(to_text(key) + " was said to be committed without a ledger record");
}

void Oracle::read_ledger(const Rows& rows) {
  std::set<RoundKey> seen;
  for (auto row = rows.all.lower_bound("ledger/"); row != rows.all.end() && row->first.starts_with("ledger/"); ++row) {
    const auto record = decode_chain_record(row->second);
    const auto release = record ? decode_release_record(record->body) : Result<ReleaseRecord>(unexpected(record.error()));
    if (!release) {
      find("row " + row->first + ": " + release.error().message);
      continue;
    }
    if (!seen.insert(release->round).second) find(to_text(release->round) + " has more than one ledger record");
    allowed_[release->round] = release->contributions;
  }
}

void Oracle::judge_audit(const Rows& rows) {
  std::map<RoundKey, std::uint64_t> opened, released, abandoned;
  std::set<std::pair<RoundKey, PeerKey>> refused;
  std::uint64_t epoch = 0, submitted = 0;
  for (auto row = rows.all.lower_bound("audit/"); row != rows.all.end() && row->first.starts_with("audit/"); ++row) {
    const auto record = decode_chain_record(row->second);
    const auto entry = record ? decode_audit_entry(record->body) : Result<AuditEntry>(unexpected(record.error()));
    if (!entry) {
      find("row " + row->first + ": " + entry.error().message);
      continue;
    }
    if (entry->kind == AuditKind::kStarted) epoch = entry->number;
    if (entry->kind == AuditKind::kJobSubmitted) ++submitted;
    if (entry->kind == AuditKind::kRoundOpened) ++opened[entry->round];
    if (entry->kind == AuditKind::kAbandoned) ++abandoned[entry->round];
    if (entry->kind == AuditKind::kConsumed && !scene_.secure()) find(to_text(entry->round) + ", which masks nothing, was consumed, says the audit log");
    if (entry->kind == AuditKind::kConsumed) consumed_.insert(entry->round);
    if (entry->kind == AuditKind::kUpdateRefused) refused.insert({entry->round, entry->who});
    if (entry->kind != AuditKind::kReleased && entry->kind != AuditKind::kConsumed) continue;
    if (++released[entry->round] > 1) find(to_text(entry->round) + " was released twice, says the audit log");
    const bool unfrozen = entry->kind == AuditKind::kConsumed && entry->number == 0;
    if (!unfrozen && !allowed_.contains(entry->round)) find(to_text(entry->round) + " was released without a ledger record");
  }
  const auto row = rows.all.find(std::string(kEpochRow));
  const auto stored = row == rows.all.end() ? Result<std::uint64_t>(std::uint64_t{0}) : epoch_of_value(row->second);
  if (!stored || *stored != epoch) find("the audit log ends with epoch " + std::to_string(epoch) + ", the disk says another");
  if (rows.summary && submitted != 1) find("the audit log has " + std::to_string(submitted) + " submissions of one job");
  for (const auto& [key, count] : opened) {
    if (count > 1) find(to_text(key) + " was opened twice, says the audit log");
    // No attempt just vanishes, with what was acknowledged in it.
    const std::uint64_t fates = (rows.has(round_key(key)) ? 1 : 0) + count_of(released, key) + count_of(abandoned, key);
    if (key.round <= scene_.job.rounds && fates != 1)
      find(to_text(key) + " is neither in progress, nor released, nor abandoned, or more than one of these");
  }
  for (const auto& [key, model] : offered_)
    if (!opened.contains(key)) find(to_text(key) + " was offered; the audit log has no opening of it");
  for (auto at = rows.all.lower_bound("round/"); at != rows.all.end() && at->first.starts_with("round/"); ++at)
    if (std::none_of(opened.begin(), opened.end(), [&](const auto& entry) { return round_key(entry.first) == at->first; }))
      find("row " + at->first + " has no opening in the audit log");
  judge_released(rows, released);
  for (const auto& [key, clients] : said_)
    for (const auto& [peer, said] : clients)
      if (said.conflict && !refused.contains({key, peer}))
        find("another update of " + who(peer) + " in " + to_text(key) + " was refused; the audit log does not say so");
}

// Every committed round has its release on record, and nothing else has.
void Oracle::judge_released(const Rows& rows, const std::map<RoundKey, std::uint64_t>& released) {
  std::set<std::uint32_t> rounds;
  for (const auto& [key, count] : released)
    if (!rounds.insert(key.round).second) find(to_text(key) + " was released although another attempt of its round was");
  const std::uint32_t committed = rows.summary ? rows.summary->round : 0;
  for (std::uint32_t round = 1; round <= committed; ++round)
    if (!rounds.contains(round)) find("round " + std::to_string(round) + " is committed on the disk; the audit log has no release of it");
  for (const std::uint32_t round : rounds)
    if (round > committed && (!rows.summary || round <= rows.summary->rounds))
      find("the audit log has a release of round " + std::to_string(round) + "; the disk stands at round " + std::to_string(committed));
}

// What was committed is what the ledger allowed, update by update.
void Oracle::judge_allowance(const RoundKey& key, std::vector<NamedContribution> contributions) {
  if (tally_.audit == 0) return;
  const auto allowed = allowed_.find(key);
  if (allowed == allowed_.end()) return find(to_text(key) + " is committed without a ledger record");
  if (contributions_digest(contributions) != allowed->second)
    find(to_text(key) + " counts other updates than its ledger record allows");
}

// ---- a client that is killed

void Oracle::on_watched(const PeerKey& client, const UpdateReady& ready) {
  announced_.try_emplace({client, ready.key}, ready);
  if (!ready.update) return;
  const auto [made, fresh] = made_.try_emplace({client, ready.key}, ready.update->id);
  if (!fresh && made->second != ready.update->id) find(who(client) + " announced two updates in " + to_text(ready.key));
}

void Oracle::told_client(const PeerKey& client, const Message& message) {
  secure_.told_client(client, message);
  const auto answered = [&](const RoundKey& key) { announced_.erase({client, key}); };
  if (const auto* accepted = std::get_if<UpdateAccepted>(&message)) answered(accepted->key);
  if (const auto* refused = std::get_if<UpdateRefused>(&message)) answered(refused->key);
  if (const auto* closed = std::get_if<RoundClosed>(&message)) answered(closed->key);
  if (const auto* offer = std::get_if<RoundOffer>(&message))
    std::erase_if(announced_, [&](const auto& entry) { return entry.first.first == client && entry.first.second != offer->key; });
}

void Oracle::on_client_boot(const PeerKey& client, const BootReport& boot) {
  secure_.on_client_boot(client, boot);
  const std::set<Digest> blobs(boot.blobs.begin(), boot.blobs.end());
  std::set<RoundKey> kept;
  for (const Row& row : boot.rows) {
    if (!row.key.starts_with("update/")) continue;
    const auto update = decode_update_ready(row.value);
    if (!update) {
      find("row " + row.key + " of " + who(client) + ": " + update.error().message);
      continue;
    }
    kept.insert(update->key);
    if (update->update && !blobs.contains(update->update->id))
      find(who(client) + " has a row of its update in " + to_text(update->key) + ", but not the update");
  }
  for (const auto& [key, ready] : announced_)
    if (key.first == client && !kept.contains(key.second))
      find(who(client) + " announced its update in " + to_text(key.second) + ", got no answer, and has lost it");
}

// ---- the end

std::optional<Bytes> Oracle::value_of(const BlobRef& blob) const {
  const auto known = chunks_.find(blob.id);
  Bytes value;
  if (known != chunks_.end())
    for (const auto& [index, bytes] : known->second) value.insert(value.end(), bytes.begin(), bytes.end());
  if (blob_ref_of(value) != blob) return std::nullopt;
  return value;
}

std::optional<std::vector<float>> Oracle::model_of(const BlobRef& blob) const {
  const auto encoded = value_of(blob);
  if (!encoded) return std::nullopt;
  const auto manifest = decode_manifest(*encoded);
  if (!manifest) return std::nullopt;
  std::vector<float> parameters;
  for (const BlobRef& shard : manifest->shards) {
    const auto value = value_of(shard);
    const auto floats = value ? floats_of_bytes(*value) : Result<std::vector<float>>(std::vector<float>());
    if (!value || !floats) return std::nullopt;
    parameters.insert(parameters.end(), floats->begin(), floats->end());
  }
  return parameters;
}

namespace {

struct Counted {
  Contribution contribution;
  std::vector<float> update;
  double weight = 0;
};

// An update of what is trained, with 0 for every other parameter; nothing where it has another size.
std::vector<float> spread(const JobSpec& job, const std::vector<float>& update) {
  const std::vector<ParameterRange> trained = trained_ranges(job.model, job.train.frozen);
  if (update.size() != size_of(trained)) return {};
  std::vector<float> all(static_cast<std::size_t>(parameter_table(job.model).size));
  auto next = update.begin();
  for (const ParameterRange& range : trained)
    for (std::uint64_t i = 0; i < range.size; ++i) all[static_cast<std::size_t>(range.offset + i)] = *next++;
  return all;
}

// Federated averaging as its paper writes it, over updates rounded to multiples of 2^-shift: then every
// sum of a few of them is exact in f64, in any order.
bool makes(const std::vector<float>& before, const std::vector<const Counted*>& cohort, int shift, const std::vector<float>& after) {
  double weights = 0;
  for (const Counted* one : cohort) weights += one->weight;
  for (std::size_t i = 0; i < before.size(); ++i) {
    double sum = 0;
    for (const Counted* one : cohort) sum += one->weight * std::nearbyint(std::ldexp(static_cast<double>(one->update[i]), shift));
    const double mean = sum / std::ldexp(weights, shift);
    if (static_cast<float>(static_cast<double>(before[i]) - mean) != after[i]) return false;
  }
  return before.size() == after.size();
}

}  // namespace

void Oracle::judge_sum(std::uint32_t round, const std::map<PeerKey, ClientMetrics>& cohort, const RoundKey& key) {
  std::vector<std::vector<Counted>> choices;  // a client that changed its mind before the answer leaves several
  std::size_t variants = 1;
  for (const auto& [peer, metrics] : cohort) {
    std::map<Digest, Counted> own;
    for (const UpdateReady& ready : said_[key][peer].before) {
      if (!ready.update) continue;
      const auto value = value_of(*ready.update);
      const auto floats = value ? floats_of_bytes(*value) : Result<std::vector<float>>(std::vector<float>());
      if (value && floats && ready.examples == metrics.examples) own.emplace(ready.update->id, Counted{{*ready.update, ready.examples}, spread(scene_.job, *floats), static_cast<double>(ready.examples)});
    }
    if (own.empty()) return find(to_text(key) + " counts " + who(peer) + ", which announced no such update, or whose update nobody fetched");
    std::vector<Counted> list;
    for (auto& [id, counted] : own) list.push_back(std::move(counted));
    variants *= list.size();
    choices.push_back(std::move(list));
  }
  const auto before = models_.contains(round - 1) ? model_of(models_.at(round - 1)) : std::nullopt;
  const auto after = models_.contains(round) ? model_of(models_.at(round)) : std::nullopt;
  if (!before || !after || variants > kVariantsMax) {
    ++tally_.unverified;
    return;
  }
  for (std::size_t variant = 0; variant < variants; ++variant) {
    std::vector<const Counted*> picked;
    std::size_t rest = variant;
    for (const auto& list : choices) {
      if (list.front().update.size() != before->size()) return find("an update in " + to_text(key) + " has another size than the model");
      picked.push_back(&list[rest % list.size()]);
      rest /= list.size();
    }
    if (makes(*before, picked, sum_scale(scene_.job.update).shift, *after)) {
      ++tally_.sums;
      tally_.counted += picked.size();
      std::vector<NamedContribution> named;
      for (const auto& [peer, metrics] : cohort) named.push_back({peer, picked[named.size()]->contribution});
      return judge_allowance(key, std::move(named));
    }
  }
  find("model " + std::to_string(round) + " is not the sum of the updates that " + to_text(key) + " says it counts, each once");
}

// A round that could be neither opened nor aborted: nothing of it counts, and its model is the one before.
void Oracle::judge_consumed(const RoundMetrics& metrics, const RoundKey& key) {
  if (metrics.delivered != 0) find(to_text(key) + " was consumed, and counts " + std::to_string(metrics.delivered) + " members");
  const auto before = models_.find(key.round - 1), after = models_.find(key.round);
  if (before == models_.end() || after == models_.end()) return find("the model of the consumed " + to_text(key) + " was neither shown nor stored");
  const auto first = value_of(before->second), second = value_of(after->second);
  if (!first || !second) return;  // nobody fetched them
  const auto one = decode_manifest(*first), other = decode_manifest(*second);
  if (!one || !other || one->shards != other->shards) find("the consumed " + to_text(key) + " changed the model");
  ++tally_.consumed;
}

// Of a round that counts masked vectors there are no rows of single clients: the ledger record says whose they are.
void Oracle::judge_secure_round(const RoundMetrics& metrics, const RoundKey& key) {
  if (consumed_.contains(key)) return judge_consumed(metrics, key);
  const auto allowed = allowed_.find(key);
  if (allowed == allowed_.end()) return find(to_text(key) + " is committed without a ledger record");
  SecureOracle::Committed round{metrics, key, allowed->second, std::nullopt, std::nullopt};
  const bool trains = key.round <= scene_.job.rounds;
  if (const auto before = models_.find(key.round - 1); before != models_.end()) round.before = before->second;
  if (const auto after = models_.find(key.round); after != models_.end() && trains) round.after = after->second;
  if (trains && !round.after) return find("model " + std::to_string(key.round) + " was neither shown nor stored");
  const SecureOracle::Judged judged = secure_.judge(round, [this](const BlobRef& blob) { return value_of(blob); });
  tally_.counted += judged.counted;
  if (trains) ++(judged.model ? tally_.sums : tally_.unverified);
}

void Oracle::judge_round(const Rows& seen, std::uint32_t round) {
  const JobId job = seen.summary->job;
  const auto row = seen.all.find(round_metrics_key(job, round));
  const auto metrics = row == seen.all.end() ? std::nullopt : std::optional(decode_round_metrics(row->second));
  if (!metrics || !*metrics) return find("at the end round " + std::to_string(round) + " has no metrics: it was never committed");
  const RoundKey key{job, round, (*metrics)->attempt};
  if (scene_.secure()) return judge_secure_round(**metrics, key);
  std::map<PeerKey, ClientMetrics> cohort;
  for (const auto& [name, value] : seen.all) {
    const auto parts = key_parts(name);
    if (parts[0] != "metric" || parts.size() != 4 || small(parts[2]) != round) continue;
    const auto peer = fixed_from_hex<PeerKey>(parts[3]);
    const auto own = decode_client_metrics(value);
    if (peer && own) cohort[*peer] = *own;
  }
  if (cohort.size() != (*metrics)->delivered) find(to_text(key) + " counts " + std::to_string((*metrics)->delivered) + " updates of " + std::to_string(cohort.size()) + " clients");
  for (const auto& [peer, said] : said_[key])
    if (said.acknowledged && !cohort.contains(peer)) find("the acknowledged update of " + who(peer) + " is missing from the committed " + to_text(key));
  judge_sum(round, cohort, key);
}

void Oracle::at_end(const std::vector<Row>& rows, Ending ending) {
  const Rows seen = look(rows);
  judge_rows(seen);
  judge_acknowledged(seen, nullptr);
  judge_ledger(seen);
  secure_.on_disk({seen.all, seen.summary, nullptr});
  tally_.aborted = secure_.aborted();
  if (scene_.secure()) tally_.acknowledged = secure_.acknowledged();
  if (!seen.summary) return find("at the end the disk knows no job");
  const bool finished = ending == Ending::kFinished;
  if (finished && seen.summary->state != JobState::kFinished) find("at the end the job is " + std::string(covey::name_of(seen.summary->state)) + ": " + seen.summary->text);
  const std::uint32_t rounds = finished ? scene_.job.rounds : seen.summary->round;
  for (std::uint32_t round = 1; round <= rounds; ++round) judge_round(seen, round);
  const std::uint32_t evaluation = scene_.job.rounds + 1;
  if (scene_.secure() && seen.has(round_metrics_key(seen.summary->job, evaluation))) judge_round(seen, evaluation);
}

}  // namespace covey::crash
