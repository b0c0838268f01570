// How much may wait to be sent. ZeroMQ does not say what is still queued, so a byte counts from when it
// is handed over until its peer is heard again: an honest receiver speaks when it has read. Who speaks
// but does not read fills its queue; such a peer stays charged for a whole queue until it takes
// something or is gone. When those have used up what there is for all, everyone else still has its floor:
// from a reserve that no full queue is charged to. Pure.
#pragma once
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace covey {

class SendBudget {
 public:
  struct Limits {
    std::uint64_t peer_bytes_max = 0;
    std::uint64_t bytes_max = 0;      // of all, without the reserve
    std::uint64_t floor_bytes = 0;    // of one connection, from the reserve
    std::uint64_t reserve_bytes = 0;  // for the floors of all
  };
  explicit SendBudget(Limits limits) : limits_(limits) {}

  // False: the connection, or all of them, have too much outstanding; nothing is charged.
  bool spend(std::uint64_t connection, std::uint64_t bytes) {
    const auto found = peers_.find(connection);
    const Peer peer = found == peers_.end() ? Peer{} : found->second;
    if (peer.full) return true;  // charged already
    if (peer.common + peer.floor + bytes > limits_.peer_bytes_max) return false;
    if (common_ + bytes <= limits_.bytes_max) {
      set(connection, {peer.common + bytes, peer.floor, false});
      return true;
    }
    if (peer.floor + bytes > limits_.floor_bytes || floors_ + bytes > limits_.reserve_bytes) return false;
    set(connection, {peer.common, peer.floor + bytes, false});
    return true;
  }
  // It took none of what was spent last: its queue is full.
  void full(std::uint64_t connection) { set(connection, {limits_.peer_bytes_max, 0, true}); }
  // It took what was spent last.
  void sent(std::uint64_t connection, std::uint64_t bytes) {
    if (const auto found = peers_.find(connection); found != peers_.end() && found->second.full)
      set(connection, {bytes, 0, false});
  }
  void heard(std::uint64_t connection) {
    if (const auto found = peers_.find(connection); found != peers_.end() && !found->second.full) forget(connection);
  }
  void forget(std::uint64_t connection) {
    if (peers_.contains(connection)) set(connection, {});
    peers_.erase(connection);
  }
  // Who has something outstanding, and whether its queue is full.
  std::vector<std::pair<std::uint64_t, bool>> charged() const {
    std::vector<std::pair<std::uint64_t, bool>> all;
    for (const auto& [connection, peer] : peers_) all.emplace_back(connection, peer.full);
    return all;
  }
  std::uint64_t outstanding() const { return common_ + floors_; }

 private:
  struct Peer {
    std::uint64_t common = 0;
    std::uint64_t floor = 0;
    bool full = false;
  };
  void set(std::uint64_t connection, Peer next) {
    Peer& peer = peers_[connection];
    common_ = common_ - peer.common + next.common;
    floors_ = floors_ - peer.floor + next.floor;
    peer = next;
  }

  Limits limits_;
  std::map<std::uint64_t, Peer> peers_;
  std::uint64_t common_ = 0;  // more than its bound only where queues were found full
  std::uint64_t floors_ = 0;
};

}  // namespace covey
