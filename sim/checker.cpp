#include "sim/checker.h"

#include <algorithm>

#include "coordinator/tables.h"

namespace covey {
namespace {

std::string of(const PeerKey& client) { return " of client " + short_hex(client); }

}  // namespace

Checker::Checker(std::size_t quorum_min, Durability durability)
    : quorum_min_(quorum_min),
      durability_(durability),
      audit_{kAuditChain, audit_key, ChainReader(kAuditChain)},
      ledger_{kLedgerChain, ledger_key, ChainReader(kLedgerChain)} {}

Checker::Finding Checker::on_client_message(const PeerKey& client, const Message& message) {
  const auto* ready = std::get_if<UpdateReady>(&message);
  if (ready == nullptr) return std::nullopt;
  Attempt& attempt = attempts_[ready->key];
  const auto known = attempt.offered.find(client);
  if (known != attempt.offered.end() && known->second.update != ready->update)
    return "the update" + of(client) + " changed within " + to_text(ready->key) + ": training is not deterministic";
  attempt.offered[client] = *ready;
  return std::nullopt;
}

Checker::Finding Checker::on_coordinator_message(const PeerKey& client, const Message& message, const Durable& durable) {
  if (const auto* offer = std::get_if<RoundOffer>(&message)) return on_offer(client, *offer, durable);
  if (const auto* accepted = std::get_if<UpdateAccepted>(&message)) return on_accepted(client, *accepted, durable);
  if (const auto* closed = std::get_if<RoundClosed>(&message)) return on_closed(*closed, durable);
  return std::nullopt;
}

Checker::Finding Checker::on_offer(const PeerKey& client, const RoundOffer& offer, const Durable& durable) {
  if (!durable(round_key(offer.key))) return to_text(offer.key) + " was offered before it was durable";
  Attempt& attempt = attempts_[offer.key];
  if (!attempt.cohort.empty() && attempt.model != offer.model.id) return to_text(offer.key) + " was offered with two models";
  if (committed_.contains({offer.key.job, offer.key.round}))
    return to_text(offer.key) + " was offered after its round was committed";
  if (offer.key.round > 1 && !latest_.contains({offer.key.job, offer.key.round - 1}))
    return to_text(offer.key) + " was offered but the round before it never was";
  attempt.model = offer.model.id;
  attempt.cohort.insert(client);
  latest_[{offer.key.job, offer.key.round}] = offer.key;
  return std::nullopt;
}

Checker::Finding Checker::on_accepted(const PeerKey& client, const UpdateAccepted& accepted, const Durable& durable) {
  if (secure_.is_secure(accepted.key)) return on_masked_accepted(client, accepted.key, durable);
  Attempt& attempt = attempts_[accepted.key];
  const auto offered = attempt.offered.find(client);
  if (offered == attempt.offered.end()) return "an update" + of(client) + " was acknowledged that it never sent";
  if (!offered->second.update) return std::nullopt;  // an evaluation round
  if (durability_ == Durability::kUpdate && !committed_.contains({accepted.key.job, accepted.key.round}) && !durable(update_key(accepted.key, client)) &&
      !durable(model_key(accepted.key.job, accepted.key.round)))
    return "an update" + of(client) + " in " + to_text(accepted.key) + " was acknowledged before it was durable";
  if (!attempt.acknowledged.contains(client)) ++acknowledged_total_;
  attempt.acknowledged[client] = offered->second.update->id;
  return left_out(attempt, accepted.key);  // what was frozen for a sum is final
}

Checker::Finding Checker::on_masked_accepted(const PeerKey& client, const RoundKey& key, const Durable& durable) {
  if (liars_.contains(client)) return std::nullopt;
  if (!secure_.sent_masked(client, key)) return "masked vectors" + of(client) + " were acknowledged that it never sent";
  if (!committed_.contains({key.job, key.round}) && !durable(update_key(key, client)) && !durable(round_metrics_key(key.job, key.round)))
    return "masked vectors" + of(client) + " in " + to_text(key) + " were acknowledged before they were durable";
  if (secure_.on_accepted(client, key)) ++acknowledged_total_;
  return std::nullopt;
}

// ---- the chains

Checker::Finding Checker::on_rows(const ReadRow& read) {
  if (const auto finding = follow(audit_, read)) return finding;
  return follow(ledger_, read);
}

Checker::Finding Checker::follow(Followed& chain, const ReadRow& read) {
  const ChainHead head = chain.reader.head();
  if (head.sequence != 0) {
    const auto row = read(chain.key(head.sequence));
    const auto record = row ? decode_chain_record(*row) : Result<ChainRecord>(unexpected(ErrorCode::kNotFound, ""));
    if (!record || hash_of(chain.name, *record) != head.hash)
      return std::string(chain.name) + ": record " + std::to_string(head.sequence) + " was durable and is gone or another now";
  }
  while (const auto row = read(chain.key(chain.reader.head().sequence + 1))) {
    const auto record = decode_chain_record(*row);
    if (!record) return record.error().message;
    if (const auto followed = chain.reader.follow(*record); !followed) return followed.error().message;
    if (&chain != &ledger_) continue;
    if (const auto finding = enter(*record)) return finding;
  }
  return std::nullopt;
}

Checker::Finding Checker::enter(const ChainRecord& record) {
  const auto release = decode_release_record(record.body);
  if (!release) return release.error().message;
  if (!releases_.emplace(release->round, *release).second) return to_text(release->round) + " has two ledger records";
  return std::nullopt;
}

Checker::Finding Checker::not_allowed(const Attempt& attempt, const Aggregate& work, const std::set<PeerKey>& counted) const {
  const auto release = releases_.find(work.key);
  if (release == releases_.end()) return to_text(work.key) + " is summed before its ledger record is durable";
  const std::string other = to_text(work.key) + " is summed of other updates than its ledger record allows";
  if (release->second.contributors != work.contributions.size()) return other;
  // Whose an update is can be told only while no two clients made the same.
  std::set<std::pair<BlobRef, std::uint64_t>> made;
  for (const auto& [client, update] : attempt.offered)
    if (update.update && !made.emplace(*update.update, update.examples).second) return std::nullopt;
  std::vector<NamedContribution> parts;
  for (const PeerKey& client : counted) {
    const UpdateReady& update = attempt.offered.at(client);
    parts.push_back({client, {*update.update, update.examples}});
  }
  if (contributions_digest(parts) != release->second.contributions) return other;
  return std::nullopt;
}

Checker::Finding Checker::chains_at_end(const std::vector<Row>& rows, const VerifyKey& record_key) const {
  for (const Followed* chain : {&audit_, &ledger_}) {
    const std::string table = chain->key(0).substr(0, chain->key(0).find('/') + 1);
    ChainReader reader(chain->name);
    for (const Row& row : rows) {
      if (!row.key.starts_with(table)) continue;
      const auto record = decode_chain_record(row.value);
      if (!record) return "row " + row.key + ": " + record.error().message;
      if (row.key != chain->key(record->sequence)) return "row " + row.key + " holds record " + std::to_string(record->sequence);
      if (const auto followed = reader.follow(*record, record_key); !followed) return followed.error().message;
    }
    if (reader.head() != chain->reader.head())
      return std::string(chain->name) + " ends with record " + std::to_string(reader.head().sequence) + ", followed were " +
             std::to_string(chain->reader.head().sequence);
  }
  return std::nullopt;
}

// ---- sums

Checker::Finding Checker::on_aggregate(const Aggregate& work, const ReadRow& read) {
  if (const auto finding = on_rows(read)) return finding;
  const auto found = attempts_.find(work.key);
  if (found == attempts_.end()) return to_text(work.key) + " is summed but was never offered";
  Attempt& attempt = found->second;
  if (attempt.model != work.model.id) return to_text(work.key) + " is summed onto another model than it was offered";
  std::set<PeerKey> counted;
  for (const Contribution& contribution : work.contributions) {
    // Two clients may hold equal data and so make equal updates: each counts for one of them.
    const auto owner = std::find_if(attempt.offered.begin(), attempt.offered.end(), [&](const auto& entry) {
      return entry.second.update == contribution.update && entry.second.examples == contribution.weight &&
             attempt.cohort.contains(entry.first) && !counted.contains(entry.first);
    });
    if (owner == attempt.offered.end())
      return "an update in the sum of " + to_text(work.key) + " was made by no member of its cohort, or is counted twice";
    counted.insert(owner->first);
  }
  for (const auto& [client, update] : attempt.acknowledged)
    if (!counted.contains(client) && !revoked_.contains(client))
      return "the acknowledged update" + of(client) + " is missing from the sum of " + to_text(work.key);
  if (const auto finding = not_allowed(attempt, work, counted)) return finding;
  if (attempt.aggregate && *attempt.aggregate != work.contributions) return to_text(work.key) + " is summed again of other updates";
  attempt.aggregate = work.contributions;
  return std::nullopt;
}

Checker::Finding Checker::on_unmask(const Unmask& work, const ReadRow& read) {
  if (const auto finding = on_rows(read)) return finding;
  const auto release = releases_.find(work.key);
  if (release == releases_.end()) return to_text(work.key) + " is opened before its ledger record is durable";
  if (release->second.contributors != work.vectors.size())
    return to_text(work.key) + " is opened of other members than its ledger record allows";
  const auto found = attempts_.find(work.key);
  if (found == attempts_.end() || found->second.model != work.model.id) return to_text(work.key) + " is opened onto another model than it was offered";
  return secure_.on_unmask(work);
}

Checker::Finding Checker::left_out(const Attempt& attempt, const RoundKey& key) const {
  if (!attempt.aggregate) return std::nullopt;
  for (const auto& [client, update] : attempt.acknowledged)
    if (!revoked_.contains(client) &&
        std::none_of(attempt.aggregate->begin(), attempt.aggregate->end(),
                     [&id = update](const Contribution& c) { return c.update.id == id; }))
      return "the acknowledged update" + of(client) + " is missing from the committed sum of " + to_text(key);
  return std::nullopt;
}

Checker::Finding Checker::on_closed(const RoundClosed& closed, const Durable& durable) {
  if (!closed.committed) return secure_.on_closed(closed.key, closed.committed);
  if (!durable(round_metrics_key(closed.key.job, closed.key.round)))
    return to_text(closed.key) + " was said to be committed before it was durable";
  const auto attempt = attempts_.find(closed.key);
  if (attempt == attempts_.end()) return to_text(closed.key) + " committed but was never offered";
  if (!releases_.contains(closed.key)) return to_text(closed.key) + " committed without a durable ledger record";
  const auto [known, fresh] = committed_.try_emplace({closed.key.job, closed.key.round}, closed.key.attempt);
  if (!fresh && known->second != closed.key.attempt)
    return to_text(closed.key) + " committed although attempt " + std::to_string(known->second) + " had";
  const bool trains = std::any_of(attempt->second.offered.begin(), attempt->second.offered.end(),
                                  [](const auto& entry) { return entry.second.update.has_value(); });
  if (const auto finding = secure_.on_closed(closed.key, closed.committed)) return finding;
  if (!trains) return std::nullopt;
  if (!attempt->second.aggregate) return to_text(closed.key) + " committed but nothing was summed";
  if (const auto finding = left_out(attempt->second, closed.key)) return finding;
  if (attempt->second.aggregate->size() < quorum_min_)
    return to_text(closed.key) + " committed with " + std::to_string(attempt->second.aggregate->size()) +
           " updates, the quorum is " + std::to_string(quorum_min_);
  return std::nullopt;
}

Checker::Finding Checker::at_end(const JobDetail& detail) const {
  if (detail.summary.state != JobState::kFinished)
    return "the job ended " + std::string(name_of(detail.summary.state)) + ": " + detail.summary.text;
  if (detail.summary.round != detail.summary.rounds)
    return "the job finished with " + std::to_string(detail.summary.round) + " of " + std::to_string(detail.summary.rounds) + " rounds";
  for (std::size_t i = 0; i < detail.metrics.size(); ++i)
    if (detail.metrics[i].round != i + 1)
      return "the metrics of round " + std::to_string(i + 1) + " are missing or twice";
  if (detail.metrics.size() < detail.summary.rounds)
    return "there are metrics of " + std::to_string(detail.metrics.size()) + " rounds only";
  return std::nullopt;
}

}  // namespace covey
