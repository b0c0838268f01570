// How much may wait to be sent. ZeroMQ does not say what is still queued, so a byte counts from when it
// is handed over until its peer is heard again: an honest receiver speaks when it has read. Who speaks
// but does not read fills its queue; such a peer stays charged for a whole queue until it takes
// something. Pure.
#pragma once
#include <cstdint>
#include <map>

namespace covey {

class SendBudget {
 public:
  struct Limits {
    std::uint64_t peer_bytes_max = 0;
    std::uint64_t bytes_max = 0;
  };
  explicit SendBudget(Limits limits) : limits_(limits) {}

  // False: the connection, or all of them, have too much outstanding; nothing is charged.
  bool spend(std::uint64_t connection, std::uint64_t bytes) {
    const auto found = peers_.find(connection);
    const Peer peer = found == peers_.end() ? Peer{} : found->second;
    if (!peer.full && peer.bytes + bytes > limits_.peer_bytes_max) return false;
    if (!peer.full && total_ + bytes > limits_.bytes_max) return false;
    if (peer.full) return true;  // charged already
    peers_[connection].bytes += bytes;
    total_ += bytes;
    return true;
  }
  // It took none of what was spent last: its queue is full.
  void full(std::uint64_t connection) { set(connection, {limits_.peer_bytes_max, true}); }
  // It took what was spent last.
  void sent(std::uint64_t connection, std::uint64_t bytes) {
    if (const auto found = peers_.find(connection); found != peers_.end() && found->second.full)
      set(connection, {bytes, false});
  }
  void heard(std::uint64_t connection) {
    if (const auto found = peers_.find(connection); found != peers_.end() && !found->second.full) forget(connection);
  }
  void forget(std::uint64_t connection) {
    const auto found = peers_.find(connection);
    if (found == peers_.end()) return;
    total_ -= found->second.bytes;
    peers_.erase(found);
  }
  std::uint64_t outstanding() const { return total_; }

 private:
  struct Peer {
    std::uint64_t bytes = 0;
    bool full = false;
  };
  void set(std::uint64_t connection, Peer next) {
    Peer& peer = peers_[connection];
    total_ = total_ - peer.bytes + next.bytes;
    peer = next;
  }

  Limits limits_;
  std::map<std::uint64_t, Peer> peers_;
  std::uint64_t total_ = 0;
};

}  // namespace covey
