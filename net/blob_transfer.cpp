#include "net/blob_transfer.h"

#include <algorithm>
#include <iterator>
#include <memory>
#include <string>

#include "core/base/thrown.h"
#include "core/crypto/digest.h"

namespace covey {
namespace {

constexpr std::uint32_t kWrongMax = 3;     // from one peer for one blob, then it is not asked any more
constexpr std::size_t kAbandonedMax = 64;  // unfinished values kept
constexpr int kProbeBackoffMax = 4;        // times `retry`

// So many chunks in so little time (256 MB/s) are a flood: one more sender would bring nothing but more
// unfinished values on the disk.
constexpr std::size_t kFloodChunks = 16;
constexpr Duration kFloodSpan = std::chrono::milliseconds(16);

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

bool BlobTransfer::Pull::waits_for_disk() const {
  return busy || std::any_of(wanted.begin(), wanted.end(), [](const Wanted& w) { return w.here; });
}

Keep BlobTransfer::Pull::keep() const {
  const bool durably = std::any_of(waiters.begin(), waiters.end(), [](const Waiter& w) { return w.keep == Keep::kDurably; });
  return durably ? Keep::kDurably : Keep::kUnfinished;
}

std::uint64_t BlobTransfer::Pull::content_bytes_max() const {
  std::uint64_t most = 0;
  for (const Waiter& waiter : waiters) most = std::max(most, waiter.content_bytes_max);
  return most;
}

// ---- work on the store
// A store that throws has failed; it ends no thread.
template <class Run, class Then>
void BlobTransfer::io(const Digest& blob, Run run, Then then) {
  io_.push_back({blob, [run = std::move(run), then = std::move(then)](BlobStore& blobs) mutable -> BlobIo::Continue {
                   const auto tried = [&]() -> decltype(run(blobs)) {
                     try {
                       return run(blobs);
                     } catch (...) {
                       if constexpr (std::is_same_v<decltype(run(blobs)), Local>)
                         return Local{true, error_of_exception(), {}};
                       else
                         return unexpected(error_of_exception());
                     }
                   };
                   return [then, result = tried()](BlobTransfer& self, Instant now) { then(self, result, now); };
                 }});
}

void BlobTransfer::drop(const Digest& blob) {
  io_.push_back({blob, [blob](BlobStore& blobs) -> BlobIo::Continue {
                   (void)caught([&]() -> Result<void> {  // what stays of it goes with the next start
                     blobs.drop_partial(blob);
                     return {};
                   });
                   return [](BlobTransfer&, Instant) {};
                 }});
}

BlobTransfer::Step BlobTransfer::proceed(const BlobIo::Continue& done, Instant now) {
  latest_ = now;
  proceeding_ = {};
  done(*this, now);
  Step step = std::exchange(proceeding_, {});
  activate_waiting(now, step);
  return settled(std::move(step), now);
}

// Does the work here, where no driver does.
BlobTransfer::Step BlobTransfer::settled(Step step, Instant now) {
  if (config_.io_by == BlobIoBy::kDriver) return step;
  while (!io_.empty()) {
    BlobIo next = std::move(io_.front());
    io_.erase(io_.begin());
    const BlobIo::Continue done = next.run(blobs_);
    proceeding_ = {};
    done(*this, now);
    Step more = std::exchange(proceeding_, {});
    activate_waiting(now, more);
    std::move(more.outgoing.begin(), more.outgoing.end(), std::back_inserter(step.outgoing));
    std::move(more.events.begin(), more.events.end(), std::back_inserter(step.events));
  }
  return step;
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
  looking_.insert(command.ticket);
  io(
      blob.id, [blob, most = command.content_bytes_max](BlobStore& blobs) { return look_up(blobs, blob, most); },
      [command](BlobTransfer& self, const Local& local, Instant then) { self.looked_up(command, local, then); });
  return settled(std::move(step), now);
}

// What is here already answers a fetch. A damaged copy is erased, and so fetched anew.
BlobTransfer::Local BlobTransfer::look_up(BlobStore& blobs, const BlobRef& blob, std::uint64_t content_bytes_max) {
  if (!blobs.has(blob.id)) return {};
  const Result<std::uint64_t> size = blobs.size(blob.id);
  if (size && *size != blob.size)
    return {true, Error{ErrorCode::kInvalidMessage, name_of_blob(blob) + " has " + std::to_string(*size)}, {}};
  Result<Bytes> content = Bytes{};
  if (size && blob.size <= content_bytes_max) content = blobs.get(blob.id);
  const std::optional<Error> error = !size      ? std::optional(size.error())
                                     : !content ? std::optional(content.error())
                                                : std::nullopt;
  if (!error) return {true, std::nullopt, *std::move(content)};
  if ((error->code == ErrorCode::kCorrupted || error->code == ErrorCode::kNotFound) && blobs.erase(blob.id)) return {};
  return {true, error, {}};
}

void BlobTransfer::looked_up(const FetchBlob& command, Local local, Instant now) {
  if (looking_.erase(command.ticket) == 0) return;  // cancelled
  if (local.here && local.error) return proceeding_.events.push_back(BlobFailed{command.ticket, *local.error});
  if (local.here)
    return proceeding_.events.push_back(BlobFetched{command.ticket, command.blob, std::move(local.content)});
  const auto [place, fresh] = pulls_.try_emplace(command.blob);
  place->second.waiters.push_back({command.ticket, command.from, command.keep, command.content_bytes_max});
  if (fresh) {
    place->second.number = ++pulls_begun_;
    waiting_.push_back(command.blob);
  }
  activate_waiting(now, proceeding_);
}

void BlobTransfer::cancel(Ticket ticket, Unfinished unfinished) {
  looking_.erase(ticket);
  for (auto place = pulls_.begin(); place != pulls_.end(); ++place) {
    auto& waiters = place->second.waiters;
    const auto found =
        std::find_if(waiters.begin(), waiters.end(), [&](const Waiter& w) { return w.ticket == ticket; });
    if (found == waiters.end()) continue;
    waiters.erase(found);
    place->second.source = 0;
    if (waiters.empty()) {
      if (unfinished == Unfinished::kDrop) drop(place->first.id);
      forget(place);
      settled({}, latest_);
    }
    return;
  }
}

// Where chunks come in a flood, and for a moment after a large blob became active: whether it makes one is
// not known before.
std::optional<Instant> BlobTransfer::flood_until() const {
  Instant until = large_begun_ ? *large_begun_ + kFloodSpan : latest_;
  if (written_.size() == kFloodChunks) until = std::max(until, written_.front() + kFloodSpan);
  return latest_ < until ? std::optional(until) : std::nullopt;
}

// How many may be active. Values that come at once are begun a few at a time in a flood: what lies unfinished is
// then a few values, not one of each sender. Measured on a virtual machine with 16 senders of 40 MB: 360 MB lay
// unfinished, and their fresh pages took a sixth of the receiver's processor time.
std::size_t BlobTransfer::places() const {
  if (!flood_until()) return config_.active_max;
  return std::min<std::size_t>(config_.active_max, std::max<std::size_t>(config_.active_in_flood, active_count()));
}

bool BlobTransfer::may_start(const BlobRef& blob) const {
  if (active_count() >= places()) return false;
  const auto source_of = [](const Pull& pull) { return pull.waiters[pull.source].from; };
  const PeerKey source = source_of(pulls_.at(blob));
  const auto busy = std::count_if(pulls_.begin(), pulls_.end(), [&](const auto& entry) {
    return entry.second.active && source_of(entry.second) == source;
  });
  return static_cast<std::uint32_t>(busy) < config_.active_per_source_max;
}

void BlobTransfer::activate_waiting(Instant now, Step& step) {
  for (std::size_t i = 0; i < waiting_.size() && active_count() < places();) {
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
  if (chunks_of(blob) > config_.credits) large_begun_ = now;
  pull.progress = now - pull.idle;
  pull.probe_after = config_.retry;
  pull.probe_at = now + config_.retry;
  std::erase(abandoned_, blob.id);
  if (pull.busy) return;  // the store's answer goes on with it
  const auto first = std::find_if(pull.wanted.begin(), pull.wanted.end(), [](const Wanted& w) { return !w.here; });
  if (first != pull.wanted.end()) {
    ask_again(blob, pull, {first->index}, now, step);
    ask(blob, pull, now, step);
  } else if (blob.size == 0 && !pull.listed) {
    listed(place, step);  // nothing to ask for
  } else {
    ask(blob, pull, now, step);
  }
}

// Those that lack the least are soon whole: so there are few unfinished values on the disk, and one whose sender
// is slow is overtaken, and leaves its credits to others. All of them together stay within chunks_max, but for
// the one that each may have.
std::uint32_t BlobTransfer::credits(const Pull& pull) const {
  std::size_t before = 0, others = 0;  // active pulls that lack less; what is asked of the others
  for (const auto& [blob, other] : pulls_) {
    if (other.number == pull.number) continue;
    others += other.wanted.size();
    if (other.active && other.listed && std::pair(other.missing, other.number) < std::pair(pull.missing, pull.number)) ++before;
  }
  const std::size_t rest = config_.chunks_max - std::min<std::size_t>(config_.chunks_max, active_count());
  const std::size_t taken = std::min(rest, before * (config_.credits - 1));
  const std::size_t share = 1 + std::min<std::size_t>(config_.credits - 1, rest - taken);
  const std::size_t room = config_.chunks_max - std::min<std::size_t>(config_.chunks_max, others);
  return static_cast<std::uint32_t>(std::max<std::size_t>(1, std::min(share, room)));
}

// The next page of the list, or as many chunks as there are credits.
void BlobTransfer::ask(const BlobRef& blob, Pull& pull, Instant now, Step& step) {
  const PeerKey source = pull.waiters[pull.source].from;
  if (pull.busy) return;
  if (!pull.listed) {
    const auto page = static_cast<std::uint32_t>(pull.hashes.size() / kChunkHashesPerPage);
    step.outgoing.push_back({source, ChunkListWant{blob, page}});
    return;
  }
  ChunkWant want{blob.id, {}};
  const std::uint32_t allowed = credits(pull);
  while (pull.wanted.size() < allowed && pull.next < chunks_of(blob)) {
    const std::uint32_t index = pull.next++;
    if (pull.have[index]) continue;
    pull.wanted.push_back({index, now, false, false});
    want.indices.push_back(index);
  }
  if (!want.indices.empty()) step.outgoing.push_back({source, std::move(want)});
}

void BlobTransfer::ask_again(const BlobRef& blob, Pull& pull, const std::vector<std::uint32_t>& lost,
                             Instant now, Step& step) {
  if (lost.empty()) return;
  for (const std::uint32_t index : lost) {
    std::erase_if(pull.wanted, [&](const Wanted& w) { return w.index == index; });
    pull.wanted.push_back({index, now, true, false});
  }
  step.outgoing.push_back({pull.waiters[pull.source].from, ChunkWant{blob.id, lost}});
}

void BlobTransfer::ask_all_again(const BlobRef& blob, Pull& pull, Instant now, Step& step) {
  std::vector<std::uint32_t> wanted;
  for (const Wanted& w : pull.wanted)
    if (!w.here) wanted.push_back(w.index);
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
  if (pull.listed && !pull.wanted.empty())  // none of them is here: the disk is not what it waits for
    ask_again(blob, pull, {pull.wanted.front().index}, now, step);
  else
    ask(blob, pull, now, step);
}

BlobTransfer::Step BlobTransfer::tick(Instant now) {
  latest_ = now;
  Step step;
  std::vector<BlobRef> due;
  for (const auto& [blob, pull] : pulls_)
    if (pull.active && !pull.waits_for_disk() && (pull.probe_at <= now || pull.progress + config_.give_up <= now))
      due.push_back(blob);
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
  return settled(std::move(step), now);
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
  if (!waiting_.empty() && active_count() < config_.active_max) next = flood_until();
  for (const auto& [blob, pull] : pulls_) {
    if (!pull.active || pull.waits_for_disk()) continue;
    const Instant due = std::min(pull.probe_at, pull.progress + config_.give_up);
    if (!next || due < *next) next = due;
  }
  return next;
}

// ---- what senders say
BlobTransfer::Step BlobTransfer::receive(PeerKey from, Message message, Instant now) {
  latest_ = now;
  Step step;
  if (const auto* list_want = std::get_if<ChunkListWant>(&message)) serve(from, *list_want, step);
  if (const auto* chunk_want = std::get_if<ChunkWant>(&message)) serve(from, *chunk_want, step);
  if (const auto* list = std::get_if<ChunkList>(&message)) on(from, *list, now, step);
  if (auto* chunk = std::get_if<Chunk>(&message)) on(from, std::move(*chunk));
  if (const auto* refused = std::get_if<BlobRefused>(&message)) on(from, *refused, now, step);
  activate_waiting(now, step);
  return settled(std::move(step), now);
}

BlobTransfer::Pulls::iterator BlobTransfer::find(const BlobRef& blob, std::uint64_t number) {
  const auto place = pulls_.find(blob);
  return place != pulls_.end() && place->second.number == number ? place : pulls_.end();
}

BlobTransfer::Pulls::iterator BlobTransfer::find(const Digest& blob, PeerKey source) {
  for (auto place = pulls_.lower_bound(BlobRef{blob, 0}); place != pulls_.end() && place->first.id == blob;
       ++place)
    if (place->second.has_source(source)) return place;
  return pulls_.end();
}

void BlobTransfer::on(PeerKey from, const ChunkList& message, Instant now, Step& step) {
  const auto place = find(message.blob, from);
  if (place == pulls_.end() || place->second.listed || place->second.busy) return;
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
  listed(place, step);
}

// The list is whole: what an earlier attempt left on disk counts.
void BlobTransfer::listed(Pulls::iterator place, Step& step) {
  auto& [blob, pull] = *place;
  if (blob_id(blob.size, pull.hashes) != blob.id)
    return fail(place, {ErrorCode::kInvalidMessage, name_of_blob(blob) + ": no value has this size and id"},
                step);
  pull.busy = true;
  io(
      blob.id,
      [blob = blob, hashes = std::move(pull.hashes), keep = pull.keep()](BlobStore& blobs) {
        return keep == Keep::kDurably ? blobs.begin_partial(blob, hashes) : blobs.begin_unsynced(blob, hashes);
      },
      [blob = blob, number = pull.number](BlobTransfer& self, const Result<std::vector<bool>>& have, Instant then) {
        self.begun(blob, number, have, then);
      });
  pull.hashes = {};  // the store keeps them
}

void BlobTransfer::begun(const BlobRef& blob, std::uint64_t number, Result<std::vector<bool>> have, Instant now) {
  const auto place = find(blob, number);
  if (place == pulls_.end()) return;
  Pull& pull = place->second;
  pull.busy = false;
  if (!have) return fail(place, have.error(), proceeding_);
  pull.have = *std::move(have);
  COVEY_CHECK(pull.have.size() == chunk_count(blob.size));
  pull.missing = static_cast<std::size_t>(std::count(pull.have.begin(), pull.have.end(), false));
  pull.listed = true;
  progressed(pull, now);
  if (pull.missing == 0) return finish(place);
  if (pull.active) ask(blob, pull, now, proceeding_);
}

void BlobTransfer::on(PeerKey from, Chunk&& message) {
  const auto place = find(message.blob, from);
  if (place == pulls_.end()) return;
  auto& [blob, pull] = *place;
  const auto wanted = std::find_if(pull.wanted.begin(), pull.wanted.end(),
                                   [&](const Wanted& w) { return w.index == message.index; });
  if (wanted == pull.wanted.end() || wanted->here) return;  // not asked for, or here already
  wanted->here = true;
  // Shared: a function must be copyable, and the bytes are not to be copied.
  const auto bytes = std::make_shared<const Bytes>(std::move(message.bytes));
  io(
      blob.id,
      [id = blob.id, index = message.index, bytes](BlobStore& blobs) { return blobs.write_chunk(id, index, *bytes); },
      [blob = blob, number = pull.number, from, index = message.index](BlobTransfer& self, const Result<void>& result,
                                                                       Instant then) {
        self.written(blob, number, from, index, result, then);
      });
}

void BlobTransfer::written(const BlobRef& blob, std::uint64_t number, PeerKey from, std::uint32_t index,
                           const Result<void>& result, Instant now) {
  const auto place = find(blob, number);
  if (place == pulls_.end()) return;
  Pull& pull = place->second;
  const auto wanted = std::find_if(pull.wanted.begin(), pull.wanted.end(), [&](const Wanted& w) { return w.index == index; });
  COVEY_CHECK(wanted != pull.wanted.end() && wanted->here);
  if (!result && result.error().code != ErrorCode::kInvalidMessage) {
    drop(blob.id);
    return fail(place, result.error(), proceeding_);
  }
  if (!result) {
    ++wrong_chunks_;
    wanted->here = false;
    // Who sent it may have been dropped while it was written.
    if (!pull.has_source(from) ||
        !misbehaved(place, from, "chunk " + std::to_string(index) + " does not have its hash", now, proceeding_)) {
      if (pull.active) ask_again(blob, pull, {index}, now, proceeding_);
    }
    return;
  }
  // A link keeps order: what was asked for well before this chunk and is not here was lost.
  std::vector<std::uint32_t> lost;
  for (auto w = pull.wanted.begin(); w != wanted; ++w)
    if (!w->here && !wanted->again && w->asked < wanted->asked && w->asked + config_.retry <= now)
      lost.push_back(w->index);
  written_.push_back(now);
  if (written_.size() > kFloodChunks) written_.pop_front();
  pull.wanted.erase(wanted);
  pull.have[index] = true;
  --pull.missing;
  progressed(pull, now);
  if (pull.missing == 0) return finish(place);
  if (!pull.active) return;
  ask_again(blob, pull, lost, now, proceeding_);
  ask(blob, pull, now, proceeding_);
}

void BlobTransfer::on(PeerKey from, const BlobRefused& message, Instant now, Step& step) {
  const auto place = find(message.blob, from);
  if (place == pulls_.end() || message.error.code == ErrorCode::kUnavailable) return;  // tick() asks again
  drop_source(place, from, message.error, now, step);
}

// ---- ends
void BlobTransfer::finish(Pulls::iterator place) {
  auto& [blob, pull] = *place;
  pull.busy = true;
  io(
      blob.id,
      [blob = blob, keep = pull.keep(), most = pull.content_bytes_max()](BlobStore& blobs) -> Result<Bytes> {
        if (keep == Keep::kDurably && !blobs.has(blob.id)) COVEY_TRY_VOID(blobs.finish_partial(blob.id));
        if (blob.size > most) return Bytes{};
        if (keep == Keep::kDurably) return blobs.get(blob.id);
        Bytes content(static_cast<std::size_t>(blob.size));
        COVEY_TRY_VOID(blobs.read_written(blob.id, 0, content));
        return content;
      },
      [blob = blob, number = pull.number, keep = pull.keep(), most = pull.content_bytes_max()](
          BlobTransfer& self, const Result<Bytes>& content, Instant then) {
        self.finished(blob, {number, keep, most}, content, then);
      });
}

void BlobTransfer::finished(const BlobRef& blob, const Finish& finish_of, Result<Bytes> content, Instant) {
  const auto place = find(blob, finish_of.number);
  if (place == pulls_.end()) return;
  if (!content) {
    drop(blob.id);
    return fail(place, content.error(), proceeding_);
  }
  if (finish_of.keep != place->second.keep() || finish_of.content_bytes_max < place->second.content_bytes_max())
    return finish(place);  // one came who wants more
  const std::vector<Waiter> waiters = std::move(place->second.waiters);
  forget(place);
  for (const Waiter& waiter : waiters)
    proceeding_.events.push_back(
        BlobFetched{waiter.ticket, blob, blob.size <= waiter.content_bytes_max ? *content : Bytes{}});
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
  drop(abandoned_.front());
  abandoned_.pop_front();
}

}  // namespace covey
