#include "sim/checker.h"

#include <algorithm>

#include "coordinator/tables.h"

namespace covey {
namespace {

std::string of(const PeerKey& client) { return " of client " + short_hex(client); }

}  // namespace

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
  Attempt& attempt = attempts_[accepted.key];
  const auto offered = attempt.offered.find(client);
  if (offered == attempt.offered.end()) return "an update" + of(client) + " was acknowledged that it never sent";
  if (!offered->second.update) return std::nullopt;  // an evaluation round
  if (durability_ == Durability::kUpdate && !committed_.contains({accepted.key.job, accepted.key.round}) && !durable(update_key(accepted.key, client)) &&
      !durable(model_key(accepted.key.job, accepted.key.round)))
    return "an update" + of(client) + " in " + to_text(accepted.key) + " was acknowledged before it was durable";
  if (!attempt.acknowledged.contains(client)) ++acknowledged_total_;
  attempt.acknowledged[client] = offered->second.update->id;
  // A sum that was not committed may be made again with more in it, after a crash. Once committed it is final.
  if (committed_.contains({accepted.key.job, accepted.key.round})) return left_out(attempt, accepted.key);
  return std::nullopt;
}

Checker::Finding Checker::on_aggregate(const Aggregate& work) {
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
    if (!counted.contains(client))
      return "the acknowledged update" + of(client) + " is missing from the sum of " + to_text(work.key);
  attempt.aggregate = work.contributions;
  return std::nullopt;
}

Checker::Finding Checker::left_out(const Attempt& attempt, const RoundKey& key) const {
  if (!attempt.aggregate) return std::nullopt;
  for (const auto& [client, update] : attempt.acknowledged)
    if (std::none_of(attempt.aggregate->begin(), attempt.aggregate->end(),
                     [&id = update](const Contribution& c) { return c.update.id == id; }))
      return "the acknowledged update" + of(client) + " is missing from the committed sum of " + to_text(key);
  return std::nullopt;
}

Checker::Finding Checker::on_closed(const RoundClosed& closed, const Durable& durable) {
  if (!closed.committed) return std::nullopt;
  if (!durable(round_metrics_key(closed.key.job, closed.key.round)))
    return to_text(closed.key) + " was said to be committed before it was durable";
  const auto attempt = attempts_.find(closed.key);
  if (attempt == attempts_.end()) return to_text(closed.key) + " committed but was never offered";
  const auto [known, fresh] = committed_.try_emplace({closed.key.job, closed.key.round}, closed.key.attempt);
  if (!fresh && known->second != closed.key.attempt)
    return to_text(closed.key) + " committed although attempt " + std::to_string(known->second) + " had";
  const bool trains = std::any_of(attempt->second.offered.begin(), attempt->second.offered.end(),
                                  [](const auto& entry) { return entry.second.update.has_value(); });
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
