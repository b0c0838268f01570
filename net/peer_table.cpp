#include "net/peer_table.h"

#include <vector>

namespace covey {

std::uint64_t PeerTable::heard(const Bytes& routing, const PeerKey& peer, int descriptor, Instant now) {
  if (const auto known = numbers_.find(routing); known != numbers_.end()) {
    Connection& connection = connections_.at(known->second);
    connection.heard = now;
    connection.gone.reset();
    budget_.heard(known->second);
    if (connection.peer == peer) return known->second;
    forget(known->second);  // another peer got the routing id of one that left
  }
  const std::uint64_t number = ++made_;
  connections_[number] = {routing, peer, now, PeerSocket(descriptor)};
  numbers_[routing] = number;
  return number;
}

Connection* PeerTable::find(std::uint64_t number) {
  const auto found = connections_.find(number);
  return found == connections_.end() ? nullptr : &found->second;
}

void PeerTable::left(std::uint64_t number, Instant now) {
  budget_.forget(number);
  if (Connection* const connection = find(number); connection != nullptr && !connection->gone) connection->gone = now;
}

bool PeerTable::look(std::uint64_t number, Instant now) {
  const Connection* const connection = find(number);
  if (connection == nullptr || !connection->socket.over()) return false;
  left(number, now);
  return true;
}

void PeerTable::sweep(Instant now) {
  std::vector<std::uint64_t> old;
  for (auto& [number, connection] : connections_) {
    if (!connection.gone) look(number, now);
    if ((connection.gone && *connection.gone + kGoneKept <= now) || connection.heard + kIdleMax < now) old.push_back(number);
  }
  for (const std::uint64_t number : old) forget(number);
}

void PeerTable::forget(std::uint64_t number) {
  const auto found = connections_.find(number);
  if (found == connections_.end()) return;
  budget_.forget(number);
  numbers_.erase(found->second.routing);
  connections_.erase(found);
}

}  // namespace covey
