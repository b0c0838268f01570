// The coordinator's sockets: ROUTER on both ports, CURVE, and a door that knows every key.
#include <zmq.h>

#include <charconv>
#include <map>
#include <string>

#include "core/protocol/limits.h"
#include "net/codec.h"
#include "net/limited_log.h"
#include "net/send_budget.h"
#include "net/transport.h"
#include "net/zap_door.h"

namespace covey {
namespace {

constexpr std::size_t kMessagesAtOnce = 128;         // from one port, then the other's turn
constexpr int kControlQueueMax = 64;                 // messages to one peer: 1 MiB
constexpr int kBulkQueueMax = 2 * kChunkCreditsMax + 4;  // what two blobs may ask for at once: 5 MiB
constexpr Duration kConnectionIdleMax = std::chrono::minutes(1);  // clients speak every 5 s; one that is cut is unheard
constexpr Duration kSweep = std::chrono::seconds(10);
constexpr Duration kRollCall = std::chrono::seconds(1);

struct Connection {
  Bytes routing;
  PeerKey peer;
  Instant heard;
  bool gone = false;  // nothing reaches it; what it said before it left may still wait to be read
};

constexpr SendBudget::Limits limits_of_peer(std::size_t frame_bytes_max, int queue_max, std::uint64_t in_all) {
  return {frame_bytes_max * static_cast<std::uint64_t>(queue_max), in_all};
}

// One port: its socket and who is connected to it. Their numbers are never used twice.
struct Port {
  Port(ZmqSocket s, SendBudget::Limits limits) : socket(std::move(s)), budget(limits) {}
  ZmqSocket socket;
  SendBudget budget;
  std::map<std::uint64_t, Connection> connections;
  std::map<Bytes, std::uint64_t> numbers;  // by routing id

  void forget(std::uint64_t number) {
    const auto found = connections.find(number);
    if (found == connections.end()) return;
    budget.forget(number);
    numbers.erase(found->second.routing);
    connections.erase(found);
  }
};

std::uint16_t port_of(const ZmqSocket& socket) {
  const std::string endpoint = socket.last_endpoint();
  const std::size_t colon = endpoint.rfind(':');
  COVEY_CHECK(colon != std::string::npos);
  std::uint16_t port = 0;
  std::from_chars(endpoint.data() + colon + 1, endpoint.data() + endpoint.size(), port);
  return port;
}

class ListenTransport final : public Transport {
 public:
  ListenTransport(std::unique_ptr<ZmqContext> context, std::unique_ptr<ZapDoor> door, ZmqSocket control,
                  ZmqSocket bulk, std::uint64_t send_bytes_max, Clock& clock, Log& log)
      : context_(std::move(context)),
        door_(std::move(door)),
        control_(std::move(control), limits_of_peer(kControlFrameBytesMax, kControlQueueMax, send_bytes_max / 4)),
        bulk_(std::move(bulk), limits_of_peer(kBulkFrameBytesMax, kBulkQueueMax, send_bytes_max / 4 * 3)),
        control_port_(port_of(control_.socket)),
        bulk_port_(port_of(bulk_.socket)),
        clock_(clock),
        log_(log, clock),
        next_sweep_(clock.now() + kSweep) {}
  ~ListenTransport() override { close(Duration::zero()); }

  std::vector<const ZmqSocket*> sockets() const override {
    return {&door_->socket(), &control_.socket, &bulk_.socket};
  }
  std::vector<Incoming> receive() override {
    door_->answer();
    std::vector<Incoming> messages;
    receive_from(control_, messages);
    receive_from(bulk_, messages);
    return messages;
  }
  void send(const Link& to, const Message& message) override {
    const auto found = control_.connections.find(to.session);
    if (found == control_.connections.end() || found->second.peer != to.peer)
      return log_.warning("send_dropped", {{"message", name_of(message)},
                                           {"peer", short_hex(to.peer)},
                                           {"reason", "the peer is not connected any more"}});
    send_on(control_, to.session, message);
  }
  void send_bulk(PeerKey to, const Message& message) override {
    const auto found = bulk_routes_.find(to);
    if (found != bulk_routes_.end()) send_on(bulk_, found->second, message);
  }
  void admit(PeerKey peer, Admission admission) override { door_->admit(peer, admission); }
  void expel(PeerKey peer) override {
    door_->expel(peer);
    bulk_routes_.erase(peer);
  }
  bool admitted(PeerKey peer) const override { return door_->admission(peer).has_value(); }
  void tick(Instant now) override {
    if (now < next_sweep_) return;
    next_sweep_ = now + kSweep;
    sweep(control_, now);
    sweep(bulk_, now);
    std::erase_if(bulk_routes_,
                  [&](const auto& route) { return bulk_.connections.count(route.second) == 0; });
  }
  Instant next_tick() const override { return next_sweep_; }
  std::uint16_t control_port() const override { return control_port_; }
  std::uint16_t bulk_port() const override { return bulk_port_; }
  void close(Duration linger) override {
    if (!context_) return;
    const auto ms = static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(linger).count());
    control_.socket.set(ZMQ_LINGER, ms);
    bulk_.socket.set(ZMQ_LINGER, ms);
    control_.socket.close();
    bulk_.socket.close();
    door_.reset();
    context_.reset();
  }

 private:
  void receive_from(Port& port, std::vector<Incoming>& out) {
    for (std::size_t i = 0; i < kMessagesAtOnce; ++i) {
      const std::optional<ZmqMessage> message = port.socket.receive();
      if (!message) return;
      if (auto incoming = accept(port, *message)) out.push_back(*std::move(incoming));
    }
  }

  // Identity first, then permission, and only then the bytes are looked at.
  std::optional<Incoming> accept(Port& port, const ZmqMessage& raw) {
    const Result<PeerKey> peer = fixed_from_hex<PeerKey>(raw.user_id);
    if (!peer) return drop("nobody", "it came without a proven key");
    const std::string who = short_hex(*peer);
    const std::optional<Admission> admission = door_->admission(*peer);
    if (!admission) return drop(who, "its key was expelled");
    if (raw.frames.size() != 2)
      return drop(who, "it has " + std::to_string(raw.frames.size() - 1) + " frames, not one");
    Result<Message> message = decode_frame(raw.frames[1]);
    if (!message) return drop(who, message.error().message);
    const bool bulk = &port == &bulk_;
    if (is_bulk(*message) != bulk)
      return drop(who, std::string(name_of(*message)) + " came on the other port");
    if (*admission == Admission::kEnrolment && !std::holds_alternative<Enrol>(*message))
      return drop(who, std::string(name_of(*message)) + " came from a key that may only enrol");
    const std::uint64_t number = number_of(port, raw.frames[0], *peer);
    if (bulk && !take_route(*peer, number, std::holds_alternative<BulkHello>(*message))) return std::nullopt;
    return Incoming{{*peer, number}, *std::move(message)};
  }

  // A peer's blobs go to the connection that asks for them. A greeting takes over only from a
  // connection that is gone: a second process with a copied key greets too, and the machine, which
  // refuses it, sees the control port alone. False: a greeting that changes nothing.
  bool take_route(PeerKey peer, std::uint64_t number, bool hello) {
    const auto [route, first] = bulk_routes_.try_emplace(peer, number);
    if (first) return true;
    if (route->second == number) return !hello;
    if (hello && lives(route->second)) return false;
    route->second = number;
    return true;
  }

  bool lives(std::uint64_t number) {
    const auto found = bulk_.connections.find(number);
    if (found == bulk_.connections.end() || found->second.heard + kLinkTimeout < clock_.now()) return false;
    return reaches(found->second);
  }

  // Diallers ignore a greeting; ZeroMQ says whether there is anyone to send it to.
  bool reaches(const Connection& bulk) {
    return bulk_.socket.send({bulk.routing, encode_frame(BulkHello{})}) != ZmqSent::kUnreachable;
  }

  std::optional<Incoming> drop(const std::string& who, const std::string& reason) {
    log_.warning("message_dropped", {{"peer", who}, {"reason", reason}});
    return std::nullopt;
  }

  std::uint64_t number_of(Port& port, const Bytes& routing, PeerKey peer) {
    const Instant now = clock_.now();
    if (const auto known = port.numbers.find(routing); known != port.numbers.end()) {
      Connection& connection = port.connections.at(known->second);
      connection.heard = now;
      connection.gone = false;
      port.budget.heard(known->second);
      if (connection.peer == peer) return known->second;
      port.forget(known->second);  // another peer got the routing id of one that left
    }
    const std::uint64_t number = ++connections_made_;
    port.connections[number] = {routing, peer, now};
    port.numbers[routing] = number;
    return number;
  }

  // Whoever vanished with something on the way is charged until he is missed. Where that leaves nothing for
  // the others, each debtor is asked for.
  void call_roll(Port& port) {
    const Instant now = clock_.now();
    if (&port != &bulk_ || now < next_roll_call_) return;
    next_roll_call_ = now + kRollCall;
    for (const std::uint64_t number : port.budget.charged()) {
      if (reaches(port.connections.at(number))) continue;
      port.connections.at(number).gone = true;
      port.budget.forget(number);
    }
  }

  void send_on(Port& port, std::uint64_t number, const Message& message) {
    const auto found = port.connections.find(number);
    if (found == port.connections.end()) return;
    const PeerKey peer = found->second.peer;
    const Bytes frame = encode_frame(message);
    if (port.budget.exhausted(frame.size())) call_roll(port);
    const bool affordable = port.budget.spend(number, frame.size());
    const ZmqSent sent = affordable ? port.socket.send({found->second.routing, frame}) : ZmqSent::kFull;
    if (sent == ZmqSent::kDone) return port.budget.sent(number, frame.size());
    if (sent == ZmqSent::kUnreachable) {
      found->second.gone = true;  // under its number: a Leave that is still to be read must be this link's
      port.budget.forget(number);
    }
    if (sent == ZmqSent::kFull && affordable) port.budget.full(number);
    log_.warning("send_dropped",
                 {{"message", name_of(message)},
                  {"peer", short_hex(peer)},
                  {"reason", sent == ZmqSent::kFull ? "the peer does not read" : "the peer has left"}});
  }

  void sweep(Port& port, Instant now) {
    std::vector<std::uint64_t> idle;
    for (const auto& [number, connection] : port.connections)
      if (connection.gone || connection.heard + kConnectionIdleMax < now) idle.push_back(number);
    for (const std::uint64_t number : idle) port.forget(number);
  }

  std::unique_ptr<ZmqContext> context_;
  std::unique_ptr<ZapDoor> door_;
  Port control_;
  Port bulk_;
  std::uint16_t control_port_;
  std::uint16_t bulk_port_;
  Clock& clock_;
  LimitedLog log_;
  std::map<PeerKey, std::uint64_t> bulk_routes_;  // where each peer's blobs go
  std::uint64_t connections_made_ = 0;
  Instant next_sweep_;
  Instant next_roll_call_;
};

Result<ZmqSocket> bound(ZmqContext& context, const CurveKey& identity, const std::string& address,
                        std::uint16_t port, std::size_t frame_bytes_max, int queue_messages_max) {
  COVEY_TRY(const std::string endpoint, tcp_endpoint(address, port == 0 ? "*" : std::to_string(port)));
  COVEY_TRY(ZmqSocket socket, ZmqSocket::open(context, ZMQ_ROUTER));
  ZapDoor::guard(socket, identity);
  set_network_options(socket, frame_bytes_max, queue_messages_max);
  leave_heartbeats_to_peers(socket);
  socket.set(ZMQ_ROUTER_MANDATORY, 1);
  socket.set(ZMQ_ROUTER_HANDOVER, 0);
  socket.set(ZMQ_IPV6, address.find(':') != std::string::npos ? 1 : 0);
  COVEY_TRY_VOID(socket.bind(endpoint));
  return socket;
}

// Where to knock at our own door.
std::string own_endpoint(const ListenConfig& config, const ZmqSocket& socket) {
  std::string host = config.address;
  if (host == "0.0.0.0" || host == "*") host = "127.0.0.1";
  if (host == "::") host = "::1";
  return tcp_endpoint(host, std::to_string(port_of(socket))).value();
}

}  // namespace

Result<std::unique_ptr<Transport>> listen_transport(const ListenConfig& config, const CurveKey& identity,
                                                    Clock& clock, Log& log) {
  auto context = std::make_unique<ZmqContext>(config.io_threads);
  COVEY_TRY(auto door, ZapDoor::open(*context));
  COVEY_TRY(ZmqSocket control, bound(*context, identity, config.address, config.control_port,
                                     kControlFrameBytesMax, kControlQueueMax));
  COVEY_TRY(ZmqSocket bulk,
            bound(*context, identity, config.address, config.bulk_port, kBulkFrameBytesMax, kBulkQueueMax));
  for (const ZmqSocket* socket : {&control, &bulk})
    COVEY_TRY_VOID(door->prove_shut(*context, own_endpoint(config, *socket), identity.public_key()));
  return std::unique_ptr<Transport>(std::make_unique<ListenTransport>(
      std::move(context), std::move(door), std::move(control), std::move(bulk), config.send_bytes_max, clock, log));
}

}  // namespace covey
