// Rounds that end without their sum. A sum that nobody can open, or that is noise, is not tried again: its members are
// bound to it, for a second sum of the same round could be subtracted from the first. Its release counts as spent, its
// ledger record stays, and the round ends with the model that it began with. That model's manifest names the round, so
// that its hash is another: the next round is another release, and is charged as one.
#include <algorithm>

#include "coordinator/job_runner.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"

namespace covey {
namespace {

constexpr std::size_t kNamed = 5;
constexpr Duration kStoreAgain = std::chrono::seconds(5);

// Rounds at the end of these that were consumed: of every other, somebody's update counted.
std::uint32_t consumed_in_a_row(const std::vector<RoundMetrics>& metrics) {
  std::uint32_t count = 0;
  for (auto at = metrics.rbegin(); at != metrics.rend() && at->delivered == 0; ++at) ++count;
  return count;
}

}  // namespace

void JobRunner::give_up(Instant now, const std::string& why, Duration pause) {
  const bool trains = round_->row.kind == RoundKind::kTrain;
  if (round_->frozen && trains && !secure_->can_abort()) return consume(now, why);
  abandon(now, why, pause);
}

void JobRunner::consume(Instant now, const std::string& why) {
  services_.out.now(CancelTimer{timer("phase")});
  const std::uint32_t before = consumed_in_a_row(job_.metrics);
  if (before >= job_.spec.round.attempts_max)
    return end(JobState::kFailed, now,
               to_text(round_->key) + ": " + why + "; the " + std::to_string(before) +
                   " rounds before it were consumed too, round.attempts_max = " + std::to_string(job_.spec.round.attempts_max));
  round_->consumed = shortened(why, kErrorTextBytesMax);
  open_failures_ = 0;
  make_same_model();
}

// Members that can take part in nothing alike before the ABORT of theirs, which does not come: the round that they
// are bound to is over, and they take part in the next.
bool JobRunner::consume_endless(Instant now, const std::string& why) {
  if (!secure() || job_.evaluating()) return false;
  std::size_t connected = 0, bound = 0;
  for (const auto& [key, node] : services_.registry.nodes()) {
    const auto declined = not_before_.find(key);
    const bool willing = declined == not_before_.end() || declined->second.until != Instant::max();
    if (node.summary.revoked || !node.link || node.summary.role != Role::kClient || !services_.registry.vouched(node) || !willing) continue;
    ++connected;
    bound += sits_out(key) ? 1 : 0;
  }
  if (bound == 0 || connected < selection().min_clients) return false;
  wants_.reset();
  waiting_ = false;
  stuck_since_.reset();
  Round round;
  round.key = {job_.id, job_.next_round(), job_.summary.attempt};
  round.row.model = job_.summary.model;
  round.row.started = now;
  round.frozen = true;  // takes nothing: it only ends
  round_ = std::move(round);
  consume(now, why);
  return true;
}

void JobRunner::make_same_model() {
  round_->manifest = services_.out.next_ticket();
  services_.out.now(FetchBlob{round_->manifest, PeerKey{}, job_.summary.model});
}

bool JobRunner::same_model_fetched(const BlobFetched& event, Instant now) {
  if (!round_ || round_->consumed.empty() || event.ticket != round_->manifest) return false;
  round_->manifest = 0;
  auto manifest = decode_manifest(event.content);
  if (!manifest) {
    end(JobState::kFailed, now, "the latest model: " + manifest.error().message);
    return true;
  }
  manifest->version = round_->key.round;
  round_->work = services_.out.next_ticket();
  services_.out.now(StartWork{round_->work, PutBlob{encode(*manifest)}});
  return true;
}

void JobRunner::same_model_made(const BlobPut& made, Instant now) {
  ModelRow same = job_.models.rbegin()->second;
  same.manifest = made.blob;
  commit(now, std::move(same));
}

// Storing one small blob failed: the disk may have room again.
void JobRunner::same_model_failed(const Error& error, Instant now) {
  if (++open_failures_ > job_.spec.round.attempts_max)
    return end(JobState::kFailed, now, to_text(round_->key) + " was consumed, and its model's manifest cannot be stored: " + error.message);
  services_.out.now(SetTimer{timer("phase"), kStoreAgain});
}

// ---- who lied

void JobRunner::bar(const PeerKey& peer, const std::string& what, Instant now) {
  Refusal& refusal = not_before_[peer];
  if (refusal.barred) return;
  refusal = Refusal{Instant::max(), DeclineReason::kPolicy, "it " + what, true, true};
  AuditEntry blamed = act(AuditKind::kBlamed, now);
  blamed.who = peer;
  blamed.text = what;
  Batch batch;
  batch.put(liar_key(job_.id, peer), liar_value(what));
  services_.journal.write(batch, now, job_.id,
                          "round " + std::to_string(round_->key.round) + ": " + services_.registry.name_of(peer) + " " + what +
                              "; it is not asked again in this job");
  services_.records.persist(std::move(batch), {std::move(blamed)});
  services_.out.log(LogLevel::kWarning, "secagg_barred",
                    {{"job", job_.id}, {"round", round_->key.round}, {"attempt", round_->key.attempt},
                     {"node", services_.registry.name_of(peer)}, {"what", what}});
}

std::string JobRunner::named(const std::vector<std::uint32_t>& places) const {
  std::string names;
  for (std::size_t i = 0; i < std::min(places.size(), kNamed); ++i)
    if (const auto peer = secure_->peer_at(places[i])) names += (names.empty() ? "" : ", ") + services_.registry.name_of(*peer);
  return names + (places.size() > kNamed ? " and " + std::to_string(places.size() - kNamed) + " more" : "");
}

// A wrong share that could be done without: in the journal, and nobody rests for it.
void JobRunner::dispute(const Unmasked& value, Instant now) {
  if (value.disputed.empty()) return;
  std::string pairs;
  for (std::size_t i = 0; i < std::min(value.disputed.size(), kNamed); ++i)
    pairs += (i == 0 ? "" : "; ") + named({value.disputed[i].first}) + " dealt it or " + named({value.disputed[i].second}) + " revealed it";
  Batch batch;
  services_.journal.write(batch, now, job_.id,
                          "round " + std::to_string(round_->key.round) + ": " + std::to_string(value.disputed.size()) +
                              " wrong shares were corrected, and which of two members lied is not proven: " + pairs +
                              (value.disputed.size() > kNamed ? "; ..." : ""));
  services_.out.persist(std::move(batch));
}

// Of those whose secrets did not open no more than A can have lied as dealers. Where there are more, holders of their
// shares lied, and who of them the shares do not tell: then nobody rests, for whoever lied would be the one that stays.
// Else they sit one round out if enough others are there.
std::string JobRunner::suspect(const Unmasked& value, Instant now) {
  if (value.suspects.empty()) return {};
  std::string seen = "the shares of the secrets of " + named(value.suspects) + " do not open what they committed to: ";
  if (value.suspects.size() > secure_->corrupt_max()) {
    seen += "that is more members than may lie (" + std::to_string(secure_->corrupt_max()) +
            "), so one that held their shares lied, with too few shares here to tell which";
  } else {
    seen += "they lied, or members that held them";
    std::set<PeerKey> resting;
    for (const std::uint32_t place : value.suspects)
      if (const auto peer = secure_->peer_at(place)) resting.insert(*peer);
    free_suspects();
    if (willing_without(resting) >= selection().min_clients) {
      for (const PeerKey& peer : resting)
        if (!not_before_[peer].barred)
          not_before_[peer] = Refusal{Instant::max(), DeclineReason::kPolicy,
                                      "the shares of its secret did not open, which is its lie or another member's", true, false,
                                      false, round_->key.round};
      seen += "; they sit the next round out";
    }
  }
  Batch batch;
  services_.journal.write(batch, now, job_.id, shortened("round " + std::to_string(round_->key.round) + ": " + seen, kErrorTextBytesMax));
  services_.out.persist(std::move(batch));
  return "; " + seen;
}

std::size_t JobRunner::willing_without(const std::set<PeerKey>& resting) const {
  const auto& nodes = services_.registry.nodes();
  return static_cast<std::size_t>(std::count_if(nodes.begin(), nodes.end(), [&](const auto& entry) {
    const auto& [key, node] = entry;
    const auto declined = not_before_.find(key);
    const bool willing = declined == not_before_.end() || declined->second.until != Instant::max();
    return !node.summary.revoked && node.link && node.summary.role == Role::kClient && services_.registry.vouched(node) && willing &&
           !resting.contains(key);
  }));
}

bool JobRunner::free_suspects() {
  return std::erase_if(not_before_, [](const auto& entry) { return entry.second.suspected != 0; }) > 0;
}

Result<void> JobRunner::load_liar(const PeerKey& peer, ByteSpan value) {
  COVEY_TRY(const std::string what, liar_of_value(value));
  not_before_[peer] = Refusal{Instant::max(), DeclineReason::kPolicy, "it " + what, true, true};
  return {};
}

}  // namespace covey
