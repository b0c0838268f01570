#include "net/blob_transfer.h"

#include <algorithm>
#include <string>

#include "core/crypto/digest.h"

namespace covey {
namespace {

constexpr std::uint32_t kWrongMax = 3;     // from one peer for one blob, then it is not asked any more
constexpr std::size_t kAbandonedMax = 64;  // unfinished values kept
constexpr int kProbeBackoffMax = 4;        // times `retry`

std::uint32_t chunks_of(const BlobRef& blob) { return static_cast<std::uint32_t>(chunk_count(blob.size)); }

std::string name_of_blob(const BlobRef& blob) {
  return "blob " + short_hex(blob.id) + " of " + std::to_string(blob.size) + " bytes";
}

}  // namespace

BlobTransfer::BlobTransfer(BlobStore& blobs, BlobTransferConfig config) : blobs_(blobs), config_(config) {
  COVEY_CHECK(config_.credits >= 1 && config_.credits <= kChunkCreditsMax && config_.active_max >= 1);
  COVEY_CHECK(config_.retry > Duration::zero());
}

BlobTransfer::~BlobTransfer() = default;

bool BlobTransfer::Pull::has_source(PeerKey peer) const {
  return std::any_of(waiters.begin(), waiters.end(), [&](const Waiter& w) { return w.from == peer; });
}

// ---- fetching
BlobTransfer::Step BlobTransfer::fetch(const FetchBlob& command, Instant now) {
  latest_ = now;
  Step step;
  const BlobRef& blob = command.blob;
  if (blob.size > config_.blob_bytes_max) {
    step.events.push_back(BlobFailed{
        command.ticket,
        {ErrorCode::kResourceExhausted,
         name_of_blob(blob) + ": at most " + std::to_string(config_.blob_bytes_max) + " are taken"}});
    return step;
  }
  if (is_local(command, step)) return step;
  const auto [place, fresh] = pulls_.try_emplace(blob);
  place->second.waiters.push_back({command.ticket, command.from});
  if (fresh) waiting_.push_back(blob);
  activate_waiting(now, step);
  return step;
}

// Answers a fetch of what is here already. A damaged copy is erased, and so fetched anew.
bool BlobTransfer::is_local(const FetchBlob& command, Step& step) {
  const BlobRef& blob = command.blob;
  if (!blobs_.has(blob.id)) return false;
  const Result<std::uint64_t> size = blobs_.size(blob.id);
  if (size && *size != blob.size) {
    step.events.push_back(BlobFailed{
        command.ticket, {ErrorCode::kInvalidMessage, name_of_blob(blob) + " has " + std::to_string(*size)}});
    return true;
  }
  Result<Bytes> content = Bytes{};
  if (size && blob.size <= kSmallBlobBytes) content = blobs_.get(blob.id);
  const std::optional<Error> error = !size      ? std::optional(size.error())
                                     : !content ? std::optional(content.error())
                                                : std::nullopt;
  if (!error) {
    step.events.push_back(BlobFetched{command.ticket, blob, *std::move(content)});
    return true;
  }
  if ((error->code == ErrorCode::kCorrupted || error->code == ErrorCode::kNotFound) && blobs_.erase(blob.id))
    return false;
  step.events.push_back(BlobFailed{command.ticket, *error});
  return true;
}

void BlobTransfer::cancel(Ticket ticket) {
  for (auto place = pulls_.begin(); place != pulls_.end(); ++place) {
    auto& waiters = place->second.waiters;
    const auto found =
        std::find_if(waiters.begin(), waiters.end(), [&](const Waiter& w) { return w.ticket == ticket; });
    if (found == waiters.end()) continue;
    waiters.erase(found);
    place->second.source = 0;
    if (waiters.empty()) {
      blobs_.drop_partial(place->first.id);
      forget(place);
    }
    return;
  }
}

bool BlobTransfer::may_start(const BlobRef& blob) const {
  if (active_count() >= config_.active_max) return false;
  const auto source_of = [](const Pull& pull) { return pull.waiters[pull.source].from; };
  const PeerKey source = source_of(pulls_.at(blob));
  const auto busy = std::count_if(pulls_.begin(), pulls_.end(), [&](const auto& entry) {
    return entry.second.active && source_of(entry.second) == source;
  });
  return static_cast<std::uint32_t>(busy) < config_.active_per_source_max;
}

void BlobTransfer::activate_waiting(Instant now, Step& step) {
  for (std::size_t i = 0; i < waiting_.size() && active_count() < config_.active_max;) {
    const BlobRef blob = waiting_[i];
    if (!may_start(blob)) {
      ++i;
      continue;
    }
    waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
    activate(pulls_.find(blob), now, step);
  }
}

void BlobTransfer::activate(Pulls::iterator place, Instant now, Step& step) {
  auto& [blob, pull] = *place;
  pull.active = true;
  pull.progress = now - pull.idle;
  pull.probe_after = config_.retry;
  pull.probe_at = now + config_.retry;
  std::erase(abandoned_, blob.id);
  if (!pull.wanted.empty()) {
    ask_again(blob, pull, {pull.wanted.front().index}, now, step);
    ask(blob, pull, now, step);
  } else if (blob.size == 0 && !pull.listed) {
    listed(place, now, step);  // nothing to ask for
  } else {
    ask(blob, pull, now, step);
  }
}

// The next page of the list, or as many chunks as there are credits.
void BlobTransfer::ask(const BlobRef& blob, Pull& pull, Instant now, Step& step) {
  const PeerKey source = pull.waiters[pull.source].from;
  if (!pull.listed) {
    const auto page = static_cast<std::uint32_t>(pull.hashes.size() / kChunkHashesPerPage);
    step.outgoing.push_back({source, ChunkListWant{blob, page}});
    return;
  }
  ChunkWant want{blob.id, {}};
  while (pull.wanted.size() < config_.credits && pull.next < chunks_of(blob)) {
    const std::uint32_t index = pull.next++;
    if (pull.have[index]) continue;
    pull.wanted.push_back({index, now, false});
    want.indices.push_back(index);
  }
  if (!want.indices.empty()) step.outgoing.push_back({source, std::move(want)});
}

void BlobTransfer::ask_again(const BlobRef& blob, Pull& pull, const std::vector<std::uint32_t>& lost,
                             Instant now, Step& step) {
  if (lost.empty()) return;
  for (const std::uint32_t index : lost) {
    std::erase_if(pull.wanted, [&](const Wanted& w) { return w.index == index; });
    pull.wanted.push_back({index, now, true});
  }
  step.outgoing.push_back({pull.waiters[pull.source].from, ChunkWant{blob.id, lost}});
}

void BlobTransfer::ask_all_again(const BlobRef& blob, Pull& pull, Instant now, Step& step) {
  std::vector<std::uint32_t> wanted;
  for (const Wanted& w : pull.wanted) wanted.push_back(w.index);
  ask_again(blob, pull, wanted, now, step);
  ask(blob, pull, now, step);
}

void BlobTransfer::progressed(Pull& pull, Instant now) {
  pull.pace = std::max(now - pull.progress, pull.pace / 2);
  pull.idle = {};
  pull.progress = now;
  pull.probe_after = std::max(config_.retry, std::min(2 * pull.pace, config_.give_up / 4));
  pull.probe_at = now + pull.probe_after;
}

// No progress for a while: ask another source if there is one, and for one thing only, so that a slow
// link is not filled with copies. Where others wait, they get this one's place.
void BlobTransfer::probe(Pulls::iterator place, Instant now, Step& step) {
  auto& [blob, pull] = *place;
  pull.source = (pull.source + 1) % pull.waiters.size();
  if (!waiting_.empty()) {
    pull.active = false;
    pull.idle = now - pull.progress;
    waiting_.push_back(blob);
    return;  // tick() starts the next one
  }
  pull.probe_after =
      std::max(pull.probe_after, std::min(2 * pull.probe_after, kProbeBackoffMax * config_.retry));
  pull.probe_at = now + pull.probe_after;
  if (pull.listed && !pull.wanted.empty())
    ask_again(blob, pull, {pull.wanted.front().index}, now, step);
  else
    ask(blob, pull, now, step);
}

BlobTransfer::Step BlobTransfer::tick(Instant now) {
  latest_ = now;
  Step step;
  std::vector<BlobRef> due;
  for (const auto& [blob, pull] : pulls_)
    if (pull.active && (pull.probe_at <= now || pull.progress + config_.give_up <= now)) due.push_back(blob);
  for (const BlobRef& blob : due) {
    const auto place = pulls_.find(blob);
    if (place->second.progress + config_.give_up > now) {
      probe(place, now, step);
      continue;
    }
    keep_partial(blob.id);
    fail(place,
         {ErrorCode::kUnavailable, name_of_blob(blob) + ": nothing came for " +
                                       std::to_string(static_cast<int>(seconds(config_.give_up))) +
                                       " s; check the link to its sender"},
         step);
  }
  activate_waiting(now, step);
  return step;
}

BlobTransfer::Step BlobTransfer::reconnected(PeerKey peer, Instant now) {
  latest_ = now;
  Step step;
  for (auto& [blob, pull] : pulls_)
    if (pull.active && pull.waiters[pull.source].from == peer) ask_all_again(blob, pull, now, step);
  return step;
}

std::optional<Instant> BlobTransfer::next_tick() const {
  if (std::any_of(waiting_.begin(), waiting_.end(), [&](const BlobRef& blob) { return may_start(blob); }))
    return latest_;  // at once
  std::optional<Instant> next;
  for (const auto& [blob, pull] : pulls_) {
    if (!pull.active) continue;
    const Instant due = std::min(pull.probe_at, pull.progress + config_.give_up);
    if (!next || due < *next) next = due;
  }
  return next;
}

// ---- what senders say
BlobTransfer::Step BlobTransfer::receive(PeerKey from, const Message& message, Instant now) {
  latest_ = now;
  Step step;
  if (const auto* list_want = std::get_if<ChunkListWant>(&message)) serve(from, *list_want, step);
  if (const auto* chunk_want = std::get_if<ChunkWant>(&message)) serve(from, *chunk_want, step);
  if (const auto* list = std::get_if<ChunkList>(&message)) on(from, *list, now, step);
  if (const auto* chunk = std::get_if<Chunk>(&message)) on(from, *chunk, now, step);
  if (const auto* refused = std::get_if<BlobRefused>(&message)) on(from, *refused, now, step);
  activate_waiting(now, step);
  return step;
}

BlobTransfer::Pulls::iterator BlobTransfer::find(const Digest& blob, PeerKey source) {
  for (auto place = pulls_.lower_bound(BlobRef{blob, 0}); place != pulls_.end() && place->first.id == blob;
       ++place)
    if (place->second.has_source(source)) return place;
  return pulls_.end();
}

void BlobTransfer::on(PeerKey from, const ChunkList& message, Instant now, Step& step) {
  const auto place = find(message.blob, from);
  if (place == pulls_.end() || place->second.listed) return;
  auto& [blob, pull] = *place;
  if (std::uint64_t{message.page} * kChunkHashesPerPage != pull.hashes.size())
    return;  // a page we have, or no order
  const std::size_t expected = std::min(chunk_count(blob.size) - pull.hashes.size(), kChunkHashesPerPage);
  if (message.hashes.size() != expected) {
    misbehaved(place, from,
               "its chunk list has " + std::to_string(message.hashes.size()) + " entries on page " +
                   std::to_string(message.page) + ", not " + std::to_string(expected),
               now, step);
    return;
  }
  pull.hashes.insert(pull.hashes.end(), message.hashes.begin(), message.hashes.end());
  if (pull.hashes.size() < chunk_count(blob.size)) {
    progressed(pull, now);
    if (pull.active) ask(blob, pull, now, step);
    return;
  }
  if (blob_id(blob.size, pull.hashes) != blob.id) {
    // Another source may have sent an earlier page, so the list starts over.
    pull.hashes.clear();
    if (!misbehaved(place, from, "its chunk list does not add up to its id", now, step) && pull.active)
      ask(blob, pull, now, step);
    return;
  }
  listed(place, now, step);
}

// The list is whole: what an earlier attempt left on disk counts.
void BlobTransfer::listed(Pulls::iterator place, Instant now, Step& step) {
  auto& [blob, pull] = *place;
  if (blob_id(blob.size, pull.hashes) != blob.id)
    return fail(place, {ErrorCode::kInvalidMessage, name_of_blob(blob) + ": no value has this size and id"},
                step);
  Result<std::vector<bool>> have = blobs_.begin_partial(blob, pull.hashes);
  if (!have) return fail(place, have.error(), step);
  pull.have = *std::move(have);
  COVEY_CHECK(pull.have.size() == chunk_count(blob.size));
  pull.missing = static_cast<std::size_t>(std::count(pull.have.begin(), pull.have.end(), false));
  pull.listed = true;
  pull.hashes = {};  // the store keeps them
  progressed(pull, now);
  if (pull.missing == 0) return finish(place, step);
  if (pull.active) ask(blob, pull, now, step);
}

void BlobTransfer::on(PeerKey from, const Chunk& message, Instant now, Step& step) {
  const auto place = find(message.blob, from);
  if (place == pulls_.end()) return;
  auto& [blob, pull] = *place;
  const auto wanted = std::find_if(pull.wanted.begin(), pull.wanted.end(),
                                   [&](const Wanted& w) { return w.index == message.index; });
  if (wanted == pull.wanted.end()) return;  // not asked for, or here already
  const Result<void> written = blobs_.write_chunk(blob.id, message.index, message.bytes);
  if (!written && written.error().code != ErrorCode::kInvalidMessage) {
    blobs_.drop_partial(blob.id);
    return fail(place, written.error(), step);
  }
  if (!written) {
    ++wrong_chunks_;
    const std::uint32_t index = message.index;
    if (!misbehaved(place, from, "chunk " + std::to_string(index) + " does not have its hash", now, step) &&
        pull.active)
      ask_again(blob, pull, {index}, now, step);
    return;
  }
  // A link keeps order: what was asked for well before this chunk and is not here was lost.
  std::vector<std::uint32_t> lost;
  for (auto w = pull.wanted.begin(); w != wanted; ++w)
    if (!wanted->again && w->asked < wanted->asked && w->asked + config_.retry <= now)
      lost.push_back(w->index);
  pull.wanted.erase(wanted);
  pull.have[message.index] = true;
  --pull.missing;
  progressed(pull, now);
  if (pull.missing == 0) return finish(place, step);
  if (!pull.active) return;
  ask_again(blob, pull, lost, now, step);
  ask(blob, pull, now, step);
}

void BlobTransfer::on(PeerKey from, const BlobRefused& message, Instant now, Step& step) {
  const auto place = find(message.blob, from);
  if (place == pulls_.end() || message.error.code == ErrorCode::kUnavailable) return;  // tick() asks again
  drop_source(place, from, message.error, now, step);
}

// ---- ends
void BlobTransfer::finish(Pulls::iterator place, Step& step) {
  const BlobRef blob = place->first;
  if (const Result<void> finished = blobs_.finish_partial(blob.id); !finished) {
    blobs_.drop_partial(blob.id);
    return fail(place, finished.error(), step);
  }
  Bytes content;
  if (blob.size <= kSmallBlobBytes) {
    Result<Bytes> value = blobs_.get(blob.id);
    if (!value) return fail(place, value.error(), step);
    content = *std::move(value);
  }
  const std::vector<Waiter> waiters = std::move(place->second.waiters);
  forget(place);
  for (const Waiter& waiter : waiters) step.events.push_back(BlobFetched{waiter.ticket, blob, content});
}

void BlobTransfer::fail(Pulls::iterator place, const Error& error, Step& step) {
  for (const Waiter& waiter : place->second.waiters) step.events.push_back(BlobFailed{waiter.ticket, error});
  forget(place);
}

void BlobTransfer::drop_source(Pulls::iterator place, PeerKey source, const Error& error, Instant now,
                               Step& step) {
  auto& [blob, pull] = *place;
  const auto of_source = [&](const Waiter& w) { return w.from == source; };
  for (const Waiter& waiter : pull.waiters)
    if (of_source(waiter)) step.events.push_back(BlobFailed{waiter.ticket, error});
  std::erase_if(pull.waiters, of_source);
  if (pull.waiters.empty()) {
    if (pull.listed) keep_partial(blob.id);
    return forget(place);
  }
  pull.source = 0;
  if (pull.active) ask_all_again(blob, pull, now, step);
}

// True when the source was dropped for it.
bool BlobTransfer::misbehaved(Pulls::iterator place, PeerKey source, const std::string& what, Instant now,
                              Step& step) {
  auto& [blob, pull] = *place;
  if (++pull.wrong[source] < kWrongMax) return false;
  drop_source(place, source,
              {ErrorCode::kInvalidMessage, name_of_blob(blob) + " from peer " + short_hex(source) + ": " +
                                               what + ", and that " + std::to_string(kWrongMax) + " times"},
              now, step);
  return true;
}

void BlobTransfer::forget(Pulls::iterator place) {
  std::erase(waiting_, place->first);
  pulls_.erase(place);
}

// An unfinished value stays for a later fetch of it, but only so many: their senders may never return.
void BlobTransfer::keep_partial(const Digest& blob) {
  std::erase(abandoned_, blob);
  abandoned_.push_back(blob);
  if (abandoned_.size() <= kAbandonedMax) return;
  blobs_.drop_partial(abandoned_.front());
  abandoned_.pop_front();
}

}  // namespace covey
