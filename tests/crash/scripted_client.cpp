#include "tests/crash/scripted_client.h"

#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"

namespace covey::crash {
namespace {

constexpr Duration kJoinAgain = 700ms;
constexpr Duration kDeliverAgain = 4s;
constexpr Duration kLate = 26s;  // beyond the job's deadline

std::string late_timer(const RoundKey& key) {
  return "late/" + std::to_string(key.job) + "/" + std::to_string(key.round) + "/" + std::to_string(key.attempt);
}

}  // namespace

ScriptedClient::Habits ScriptedClient::habits_of(const RoundKey& key) const {
  Habits habits;
  if (manners_ == Manners::kPlain) return habits;
  if (manners_ == Manners::kChanging) {
    habits.changes_after = habits.repeats_after = true;
    return habits;
  }
  Random random = random_.split("habits", key.round, key.attempt);
  const auto one_in = [&](std::uint64_t n) { return random.below(n) == 0; };
  habits.declines = one_in(14);
  habits.fails = one_in(16);
  habits.late = one_in(16);
  habits.doubles = one_in(4);
  habits.changes = one_in(5);
  habits.changes_after = one_in(3);
  habits.repeats_after = one_in(4);
  return habits;
}

Commands ScriptedClient::handle(const Event& event, Instant) {
  if (std::holds_alternative<Started>(event)) {
    join();
    commands_.push_back(SetTimer{"heartbeat", kHeartbeatInterval});
    commands_.push_back(SetTimer{"deliver", kDeliverAgain});
  }
  if (const auto* received = std::get_if<Received>(&event)) on(*received);
  if (const auto* timer = std::get_if<TimerFired>(&event)) on_timer(timer->name);
  if (const auto* fetched = std::get_if<BlobFetched>(&event)) on(*fetched);
  if (const auto* failed = std::get_if<BlobFailed>(&event))
    for (auto& [key, part] : parts_) part.fetches.erase(failed->ticket);  // a repeated offer begins again
  return std::exchange(commands_, {});
}

void ScriptedClient::join() {
  joined_ = false;
  send(Join{kProtocolVersion, instance_, {"scripted", 4, std::uint64_t{16} << 30U, 20}});
  commands_.push_back(SetTimer{"join", kJoinAgain});
}

void ScriptedClient::on_timer(const std::string& name) {
  if (name == "join" && !joined_) return join();
  if (name == "heartbeat") {
    if (joined_) send(Heartbeat{instance_});
    commands_.push_back(SetTimer{"heartbeat", kHeartbeatInterval});
  }
  if (name == "deliver") {
    for (auto& [key, part] : parts_)
      if (joined_ && !part.accepted && !part.over && !part.said.empty() && !part.habits.late) send(part.said.back());
    commands_.push_back(SetTimer{"deliver", kDeliverAgain});
  }
  if (!name.starts_with("late/")) return;
  for (auto& [key, part] : parts_)
    if (late_timer(key) == name && !part.said.empty()) send(part.said.back());
}

void ScriptedClient::on(const Received& event) {
  const Message& message = event.message;
  if (std::holds_alternative<JoinAccepted>(message)) {
    joined_ = true;
    for (auto& [key, part] : parts_)
      if (!part.accepted && !part.over && !part.said.empty() && !part.habits.late) send(part.said.back());
  }
  if (std::holds_alternative<RejoinRequired>(message) && joined_) join();
  if (std::holds_alternative<Ping>(message)) send(Heartbeat{instance_});
  if (const auto* offer = std::get_if<RoundOffer>(&message)) on(*offer);
  if (const auto* accepted = std::get_if<UpdateAccepted>(&message)) on(*accepted);
  if (const auto* refused = std::get_if<UpdateRefused>(&message)) {
    const auto part = parts_.find(refused->key);
    if (part == parts_.end()) return;
    // Another update than the acknowledged one is refused: that one is still safe to forget.
    part->second.over = true;
    forget(part->second);
  }
  if (const auto* closed = std::get_if<RoundClosed>(&message)) {
    const auto part = parts_.find(closed->key);
    if (part == parts_.end()) return;
    part->second.over = true;
    if (!part->second.habits.late) forget(part->second);
  }
}

void ScriptedClient::fetch(Part& part, const BlobRef& blob) {
  part.fetches.insert(++last_ticket_);
  commands_.push_back(FetchBlob{last_ticket_, coordinator_, blob});
}

void ScriptedClient::on(const RoundOffer& offer) {
  auto [at, fresh] = parts_.try_emplace(offer.key);
  Part& part = at->second;
  if (part.accepted || part.over) return;
  if (!part.said.empty()) {
    if (!part.habits.late) send(part.said.back());
    return;
  }
  if (!fresh && !part.fetches.empty()) return send(RoundAccept{offer.key});
  part.offer = offer;
  if (fresh) part.habits = habits_of(offer.key);
  if (part.habits.declines) {
    part.over = true;
    return send(RoundDecline{offer.key, DeclineReason::kBusy, "not now"});
  }
  send(RoundAccept{offer.key});
  if (part.habits.fails) {
    part.over = true;
    return send(RoundFailed{offer.key, {ErrorCode::kInternal, "out of power"}});
  }
  fetch(part, offer.model);
}

void ScriptedClient::on(const BlobFetched& event) {
  for (auto& [key, part] : parts_) {
    if (part.fetches.erase(event.ticket) == 0) continue;
    if (event.blob == part.offer.model) {
      const auto manifest = decode_manifest(event.content);
      COVEY_CHECK(manifest.has_value());
      for (const BlobRef& shard : manifest->shards) fetch(part, shard);
    }
    if (part.fetches.empty() && part.said.empty() && !part.over) announce(part);
    return;
  }
}

UpdateReady ScriptedClient::make_update(const Part& part, std::uint64_t variant) {
  const RoundKey& key = part.offer.key;
  Random random = random_.split("update", std::uint64_t{key.round} << 32U | key.attempt, variant);
  UpdateReady ready{key, part.offer.model.id, std::nullopt, 1 + random.below(100), {}, {}};
  ready.evaluation = {1.5, 3, 2};
  if (part.offer.kind == RoundKind::kEvaluate) return ready;
  std::vector<float> values(static_cast<std::size_t>(update_values_));
  for (float& value : values) value = static_cast<float>(random.uniform() - 0.5);
  const auto blob = blobs_.put(bytes_of_floats(values));
  COVEY_CHECK(blob.has_value());
  ready.update = *blob;
  ready.train = {2.5, 10, 3, 0};
  commands_.push_back(PublishBlob{blob->id, coordinator_});
  return ready;
}

void ScriptedClient::announce(Part& part) {
  part.said.push_back(make_update(part, 0));
  if (part.habits.late) {
    commands_.push_back(SetTimer{late_timer(part.offer.key), kLate});
    return;
  }
  send(part.said.back());
  if (part.habits.doubles) send(part.said.back());
  if (!part.habits.changes || !part.said.back().update) return;
  part.said.push_back(make_update(part, 1));
  send(part.said.back());
}

void ScriptedClient::on(const UpdateAccepted& message) {
  const auto at = parts_.find(message.key);
  if (at == parts_.end() || at->second.said.empty()) return;
  Part& part = at->second;
  if (std::exchange(part.accepted, true)) return;
  const bool trains = part.said.back().update.has_value();
  if (part.habits.repeats_after) send(part.said.back());
  forget(part);  // acknowledged is durable: it is never sent again
  if (part.habits.changes_after && trains) send(make_update(part, 2));
}

void ScriptedClient::forget(Part& part) {
  for (const UpdateReady& ready : part.said) {
    if (!ready.update) continue;
    commands_.push_back(WithdrawBlob{ready.update->id});
    commands_.push_back(EraseBlob{ready.update->id});
  }
}

}  // namespace covey::crash
