// Who is connected to one port of a listener: what each may still be sent, when it was heard, and the kernel's
// connection behind it. ZeroMQ does not tell a ROUTER that a peer has left, so that is looked up; else whoever
// came and went would be remembered for minutes, and what it never read be charged to everyone.
#pragma once
#include <map>
#include <optional>
#include <string>

#include "core/base/bytes.h"
#include "core/base/time.h"
#include "core/crypto/curve_key.h"
#include "net/peer_socket.h"
#include "net/send_budget.h"

namespace covey {

struct Connection {
  Bytes routing;
  PeerKey peer;
  Instant heard;
  PeerSocket socket = {};
  std::optional<Instant> full_since = {};  // its queue was found full then, and never since was it calm
  Instant full_last = {};
  std::optional<Instant> gone = {};  // nothing reaches it; what it said before it left may still wait to be read
};

class PeerTable {
 public:
  static constexpr Duration kIdleMax = std::chrono::minutes(5);
  static constexpr Duration kGoneKept = std::chrono::seconds(10);  // so that its Leave is still this link's

  explicit PeerTable(SendBudget::Limits limits) : budget_(limits) {}

  // The number of the connection that a message came from; numbers are never used twice.
  std::uint64_t heard(const Bytes& routing, const PeerKey& peer, int descriptor, Instant now);
  Connection* find(std::uint64_t number);
  bool contains(std::uint64_t number) const { return connections_.contains(number); }
  std::size_t size() const { return connections_.size(); }
  SendBudget& budget() { return budget_; }
  const SendBudget& budget() const { return budget_; }

  // Nothing reaches it any more, so nothing waits for it either.
  void left(std::uint64_t number, Instant now);
  // Whether the kernel's connection is over; then it has left.
  bool look(std::uint64_t number, Instant now);
  // Looks at all, and forgets who left a while ago or has been silent for long.
  void sweep(Instant now);

 private:
  void forget(std::uint64_t number);

  SendBudget budget_;
  std::map<std::uint64_t, Connection> connections_;
  std::map<Bytes, std::uint64_t> numbers_;  // by routing id
  std::uint64_t made_ = 0;
};

}  // namespace covey
