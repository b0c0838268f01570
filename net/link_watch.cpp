#include "net/link_watch.h"

#include <zmq.h>

#include <cstring>

namespace covey {
namespace {

constexpr int kEvents = ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED |
                        ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                        ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

constexpr std::uint32_t kEndedStatus = 500;  // as ZapDoor answers; 400: the key is unknown

std::uint32_t status_in(const Bytes& event) {
  std::uint32_t status = 0;
  if (event.size() >= sizeof(std::uint16_t) + sizeof status)
    std::memcpy(&status, event.data() + sizeof(std::uint16_t), sizeof status);
  return status;
}

}  // namespace

std::string describe(LinkState state, const std::string& address) {
  switch (state) {
    case LinkState::kUp:
      return "connected to " + address;
    case LinkState::kDown:
      return "the connection to " + address + " broke";
    case LinkState::kUnreachable:
      return "nothing listens at " + address +
             ": check the address, that the coordinator runs, and the firewall; if its key was changed while this node "
             "was away, ask its operator for the key change (covey rotate-key --save FILE) and give it as --key-change FILE "
             "(an operator: covey rotate-key --follow FILE)";
    case LinkState::kRefused:
      return address +
             " refused: this key is not known to the coordinator (revoked, or the token is spent or expired)";
    case LinkState::kEnded:
      return address + " refused: by the coordinator's clock this node's membership is over; its operator lets it in "
                       "again with `covey renew NAME`, or sets the clock right";
    case LinkState::kForeign:
      return "the coordinator's key at " + address +
             " differs from the pinned one, or it is not a Covey coordinator: check the address; if its key "
             "was changed while this node was away, ask its operator for the key change (covey rotate-key --save FILE) and "
             "give it as --key-change FILE (an operator: covey rotate-key --follow FILE), or ask for a new token";
  }
  return address;
}

Result<LinkWatch> LinkWatch::on(ZmqContext& context, ZmqSocket& socket, const std::string& name) {
  const std::string endpoint = "inproc://covey.watch." + name;
  socket.monitor(endpoint, kEvents);
  COVEY_TRY(ZmqSocket pair, ZmqSocket::open(context, ZMQ_PAIR));
  COVEY_TRY_VOID(pair.connect(endpoint));
  return LinkWatch(std::move(pair));
}

std::optional<LinkChange> LinkWatch::next() {
  while (const std::optional<ZmqMessage> message = socket_.receive()) {
    std::uint16_t event = 0;  // then a value of 4 bytes; the second frame is the address
    if (message->frames.empty() || message->frames[0].size() < sizeof event) continue;
    std::memcpy(&event, message->frames[0].data(), sizeof event);
    switch (event) {
      case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
        up_ = true;
        return LinkChange{LinkState::kUp};
      case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
        return LinkChange{status_in(message->frames[0]) == kEndedStatus ? LinkState::kEnded : LinkState::kRefused};
      case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
      case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        return LinkChange{LinkState::kForeign};
      case ZMQ_EVENT_DISCONNECTED:
        if (!std::exchange(up_, false)) break;
        return LinkChange{LinkState::kDown};
      case ZMQ_EVENT_CLOSED:
        return LinkChange{LinkState::kUnreachable};  // before it was connected
      default:
        break;
    }
  }
  return std::nullopt;
}

}  // namespace covey
