// What a peer may have of our blobs: each of them a few times within a window, however it asks. A peer that
// asks for the same chunks again and again costs us a read and an encryption each time, and one that asks for
// a page of a blob's list a read of the whole list. Pure.
#pragma once
#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>

#include "core/base/blob_store.h"
#include "core/base/time.h"

namespace covey {

class ServeLimit {
 public:
  static constexpr std::uint64_t kTimes = 4;                        // the blob, as far as it was asked for
  static constexpr std::uint64_t kBytesFree = 16 * 1024 * 1024;     // and this much besides
  static constexpr std::uint64_t kPagesFree = 64;                   // of its list, besides
  static constexpr Duration kWindow = std::chrono::minutes(10);

  // Before a chunk is read.
  bool allows(const PeerKey& peer, const Digest& blob, Instant now) {
    turn(now);
    const auto found = served_.find({blob, peer});
    return found == served_.end() || found->second.bytes <= kTimes * found->second.extent + kBytesFree;
  }
  // Before a page of its list is read.
  bool allows_list(const PeerKey& peer, const Digest& blob, Instant now) {
    turn(now);
    const auto found = served_.find({blob, peer});
    return found == served_.end() || found->second.pages < kTimes * found->second.pages_extent + kPagesFree;
  }
  // After a chunk was read: only what is really offered is counted, so nobody fills this table with names.
  void served(const PeerKey& peer, const Digest& blob, std::uint32_t index, std::uint64_t bytes) {
    Served& entry = served_[{blob, peer}];
    entry.bytes += bytes;
    entry.extent = std::max(entry.extent, std::uint64_t{index} * kChunkBytes + bytes);
  }
  // It is offered to nobody any more. So the table holds what is offered, times the peers, and not every
  // model of the window.
  void withdrawn(const Digest& blob) {
    const auto begin = served_.lower_bound({blob, PeerKey{}});
    auto end = begin;
    while (end != served_.end() && end->first.first == blob) ++end;
    served_.erase(begin, end);
  }
  // The same; a page beyond the end of the list holds no hashes.
  void served_list(const PeerKey& peer, const Digest& blob, std::uint32_t page, std::size_t hashes) {
    Served& entry = served_[{blob, peer}];
    ++entry.pages;
    if (hashes > 0) entry.pages_extent = std::max(entry.pages_extent, std::uint64_t{page} + 1);
  }
  std::size_t size() const { return served_.size(); }

 private:
  struct Served {
    std::uint64_t bytes = 0;
    std::uint64_t extent = 0;
    std::uint64_t pages = 0;
    std::uint64_t pages_extent = 0;
  };
  void turn(Instant now) {
    if (now - since_ < kWindow && now >= since_) return;
    since_ = now;
    served_.clear();
  }
  std::map<std::pair<Digest, PeerKey>, Served> served_;
  Instant since_;
};

}  // namespace covey
