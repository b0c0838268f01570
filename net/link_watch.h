// What becomes of a dialled connection, from ZeroMQ's socket monitor.
#pragma once
#include <optional>
#include <string>

#include "net/zmq_socket.h"

namespace covey {

enum class LinkState {
  kUp,           // handshake done
  kDown,         // was up
  kUnreachable,  // nothing listens there
  kRefused,      // reached, but our key is not known there
  kEnded,        // reached, and by the clock there our membership is over
  kForeign,      // reached, but it is not the coordinator whose key is pinned, or speaks no CURVE
};

// Reached, and not let in.
constexpr bool turned_away(LinkState state) {
  return state == LinkState::kRefused || state == LinkState::kEnded || state == LinkState::kForeign;
}

struct LinkChange {
  LinkState state = LinkState::kDown;
};

// The words for a state, with the address, and what to check.
std::string describe(LinkState state, const std::string& address);

// The watched socket must be closed first: ZeroMQ's thread waits for ever to tell an event to a watch
// that is gone.
class LinkWatch {
 public:
  // Before `socket` connects; `name` is unique in the context.
  static Result<LinkWatch> on(ZmqContext& context, ZmqSocket& socket, const std::string& name);
  std::optional<LinkChange> next();
  const ZmqSocket& socket() const { return socket_; }

 private:
  explicit LinkWatch(ZmqSocket socket) : socket_(std::move(socket)) {}
  ZmqSocket socket_;
  bool up_ = false;
};

}  // namespace covey
