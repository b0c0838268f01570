// What a peer may have of our blobs: each of them a few times within a window, however it asks. A peer that
// asks for the same chunks again and again costs us a read and an encryption each time. Pure.
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
  static constexpr Duration kWindow = std::chrono::minutes(10);

  // Before a chunk is read.
  bool allows(const PeerKey& peer, const Digest& blob, Instant now) {
    if (now - since_ >= kWindow || now < since_) {
      since_ = now;
      served_.clear();
    }
    const auto found = served_.find({blob, peer});
    return found == served_.end() || found->second.bytes <= kTimes * found->second.extent + kBytesFree;
  }
  // After it was read: only what is really offered is counted, so nobody fills this table with names.
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
  std::size_t size() const { return served_.size(); }

 private:
  struct Served {
    std::uint64_t bytes = 0;
    std::uint64_t extent = 0;
  };
  std::map<std::pair<Digest, PeerKey>, Served> served_;
  Instant since_;
};

}  // namespace covey
