// The coordinator's sockets: ROUTER on both ports, CURVE, and a door that knows every key.
#include <zmq.h>

#include <charconv>
#include <map>
#include <string>

#include "core/protocol/limits.h"
#include "net/codec.h"
#include "net/limited_log.h"
#include "net/listening.h"
#include "net/peer_table.h"
#include "net/transport.h"
#include "net/zap_door.h"

namespace covey {
namespace {

constexpr std::size_t kMessagesAtOnce = 128;         // from one port, then the other's turn
constexpr int kControlQueueMax = 64;                 // messages to one peer: 1 MiB
constexpr int kBulkQueueMax = 2 * kChunkCreditsMax + 4;  // what two blobs may ask for at once: 5 MiB
constexpr std::uint64_t kFloorFrames = 2;            // that anyone may have on the way while others do not read
constexpr Duration kSweep = std::chrono::seconds(20);  // 20,000 connections: 10 ms
constexpr Duration kCalm = std::chrono::seconds(10);  // not found full for so long: it reads
constexpr Duration kProbe = std::chrono::seconds(1);  // of connections that may hold what they should have read

// Where one key is listened with: both ports' endpoints, as ZeroMQ names them.
struct Served {
  std::string control;
  std::string bulk;
  KeyPlace place;
};

constexpr SendBudget::Limits limits_of_peer(std::size_t frame_bytes_max, int queue_max, std::uint64_t in_all) {
  const std::uint64_t reserve = in_all / 4;
  return {frame_bytes_max * static_cast<std::uint64_t>(queue_max), in_all - reserve, kFloorFrames * frame_bytes_max, reserve};
}

struct Port {
  Port(ZmqSocket s, SendBudget::Limits limits) : socket(std::move(s)), peers(limits) {}
  ZmqSocket socket;
  PeerTable peers;
};

std::uint16_t port_of(const std::string& endpoint) {
  const std::size_t colon = endpoint.rfind(':');
  COVEY_CHECK(colon != std::string::npos);
  std::uint16_t port = 0;
  std::from_chars(endpoint.data() + colon + 1, endpoint.data() + endpoint.size(), port);
  return port;
}

class ListenTransport final : public Transport {
 public:
  ListenTransport(const ListenConfig& config, const PeerKey& key, std::unique_ptr<ZmqContext> context,
                  std::unique_ptr<ZapDoor> door, ZmqSocket control, ZmqSocket bulk, Clock& clock, Log& log)
      : config_(config),
        context_(std::move(context)),
        door_(std::move(door)),
        control_(std::move(control), limits_of_peer(kControlFrameBytesMax, kControlQueueMax, config.send_bytes_max / 4)),
        bulk_(std::move(bulk), limits_of_peer(kBulkFrameBytesMax, kBulkQueueMax, config.send_bytes_max / 4 * 3)),
        control_port_(port_of(control_.socket.last_endpoint())),
        bulk_port_(port_of(bulk_.socket.last_endpoint())),
        unread_max_(config.unread_max),
        clock_(clock),
        plain_log_(log),
        log_(log, clock),
        next_sweep_(clock.now() + kSweep) {
    served_[key] = {control_.socket.last_endpoint(), bulk_.socket.last_endpoint(), {key, control_port_, bulk_port_}};
  }
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
    const Connection* const found = control_.peers.find(to.session);
    if (found == nullptr || found->peer != to.peer)
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
  void expel(PeerKey peer, Expulsion why) override {
    door_->expel(peer, why);
    bulk_routes_.erase(peer);
  }
  bool admitted(PeerKey peer) const override { return door_->admission(peer).has_value(); }
  Result<void> serve_key(const KeyPlace& place) override;
  Result<void> listen_with(const CurveKey& key, const KeyPlace& place);  // its door is proven shut
  void drop_key(const PeerKey& key) override;
  void tick(Instant now) override {
    if (now >= next_probe_) {
      next_probe_ = now + kProbe;
      probe(control_, Ping{}, now);
      probe(bulk_, BulkHello{}, now);
    }
    if (now < next_sweep_) return;
    next_sweep_ = now + kSweep;
    control_.peers.sweep(now);
    bulk_.peers.sweep(now);
    std::erase_if(bulk_routes_, [&](const auto& route) { return !bulk_.peers.contains(route.second); });
  }
  Instant next_tick() const override {
    const bool charged = control_.peers.budget().outstanding() + bulk_.peers.budget().outstanding() > 0;
    return charged ? std::min(next_sweep_, next_probe_) : next_sweep_;
  }
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
    const std::uint64_t number = port.peers.heard(raw.frames[0], *peer, raw.descriptor, clock_.now());
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
    const Connection* const found = bulk_.peers.find(number);
    if (found == nullptr || found->heard + kLinkTimeout < clock_.now()) return false;
    // Diallers ignore a greeting; ZeroMQ says whether there is anyone to send it to.
    return bulk_.socket.send({found->routing, encode_frame(BulkHello{})}) != ZmqSent::kUnreachable;
  }

  std::optional<Incoming> drop(const std::string& who, const std::string& reason) {
    log_.warning("message_dropped", {{"peer", who}, {"reason", reason}});
    return std::nullopt;
  }

  void send_on(Port& port, std::uint64_t number, const Message& message) {
    const Connection* const found = port.peers.find(number);
    if (found == nullptr) return;
    const Bytes frame = encode_frame(message);
    const bool affordable = port.peers.budget().spend(number, frame.size());
    const ZmqSent sent = affordable ? port.socket.send({found->routing, frame}) : ZmqSent::kFull;
    if (sent == ZmqSent::kDone) return port.peers.budget().sent(number, frame.size());
    if (sent == ZmqSent::kUnreachable) port.peers.left(number, clock_.now());
    if (sent == ZmqSent::kFull && affordable) found_full(port, number);
    log_.warning("send_dropped",
                 {{"message", name_of(message)},
                  {"peer", short_hex(found->peer)},
                  {"reason", sent == ZmqSent::kFull ? "the peer does not read" : "the peer has left"}});
  }

  // An honest receiver asks for less than its queue takes. Who reads so slowly that TCP does not cut it, and
  // speaks so that nothing stays charged to it, would keep a whole queue for ever.
  void found_full(Port& port, std::uint64_t number) {
    port.peers.budget().full(number);
    Connection& connection = *port.peers.find(number);
    const Instant now = clock_.now();
    if (!connection.full_since || connection.full_last + kCalm < now) connection.full_since = now;
    connection.full_last = now;
    if (now - *connection.full_since < config_.full_max || !connection.socket.end()) return;
    connection.full_since.reset();
    plain_log_.warning("peer_cut", {{"peer", short_hex(connection.peer)},
                                    {"reason", "it has left its queue full for " +
                                                   std::to_string(static_cast<int>(seconds(config_.full_max))) + " s"}});
  }

  // Whose connection is over holds nothing any more. Of the others, who has not been heard for so long, or was
  // full, is tried: whoever is gone by now (TCP cuts those that do not read) holds nothing either, and what was
  // sent to one that lives and has room was read. Diallers ignore a greeting, and answer a ping.
  void probe(Port& port, const Message& message, Instant now) {
    SendBudget& budget = port.peers.budget();
    for (const auto& [number, full] : budget.charged()) {
      const Connection& connection = *port.peers.find(number);
      if (port.peers.look(number, now)) continue;
      if (!full && connection.heard + unread_max_ >= now) continue;
      const Bytes frame = encode_frame(message);
      const ZmqSent sent = port.socket.send({connection.routing, frame});
      if (sent == ZmqSent::kFull) found_full(port, number);
      if (sent == ZmqSent::kDone && full) budget.sent(number, frame.size());
      if (sent == ZmqSent::kUnreachable) port.peers.left(number, now);
      if (sent == ZmqSent::kDone && !full) budget.forget(number);
    }
  }

  Result<std::string> listen_too(ZmqSocket& socket, const CurveKey& key, std::uint16_t port);

  ListenConfig config_;
  std::unique_ptr<ZmqContext> context_;
  std::unique_ptr<ZapDoor> door_;
  Port control_;
  Port bulk_;
  std::uint16_t control_port_;
  std::uint16_t bulk_port_;
  Duration unread_max_;
  Clock& clock_;
  Log& plain_log_;
  LimitedLog log_;
  std::map<PeerKey, std::uint64_t> bulk_routes_;  // where each peer's blobs go
  std::map<PeerKey, Served> served_;
  Instant next_sweep_;
  Instant next_probe_ = next_sweep_ - kSweep + kProbe;
};

Result<ZmqSocket> shut_socket(ZmqContext& context, const CurveKey& identity, const ListenConfig& config,
                              std::size_t frame_bytes_max, int queue_messages_max) {
  COVEY_TRY(ZmqSocket socket, ZmqSocket::open(context, ZMQ_ROUTER));
  ZapDoor::guard(socket, identity);
  set_network_options(socket, frame_bytes_max, queue_messages_max);
  leave_heartbeats_to_peers(socket);
  socket.set(ZMQ_ROUTER_MANDATORY, 1);
  socket.set(ZMQ_ROUTER_HANDOVER, 0);
  // ZeroMQ's heartbeats do not see a peer that speaks and never reads; TCP does.
  socket.set(ZMQ_TCP_MAXRT, static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(config.unread_max).count()));
  socket.set(ZMQ_IPV6, config.address.find(':') != std::string::npos ? 1 : 0);
  return socket;
}

// Where to knock at our own door.
std::string own_host(const std::string& address) {
  if (address == "0.0.0.0" || address == "*") return "127.0.0.1";
  return address == "::" ? "::1" : address;
}

// Proves this socket's door shut with this key, at a port of the moment: on the one where peers knock they would be
// refused meanwhile, for nobody is admitted before the machine has started, and a peer that was refused stays
// away for long. What knocks from the binding on waits for the first answer.
Result<void> prove_shut(ZapDoor& door, ZmqContext& context, ZmqSocket& socket, const CurveKey& key, const std::string& address) {
  ZapDoor::guard(socket, key);
  COVEY_TRY(const std::string endpoint, listen_on(socket, own_host(address), 0));
  const Result<void> shut = door.prove_shut(context, endpoint, key.public_key());
  socket.unbind(endpoint);
  return shut;
}

// A socket takes over its options with each bind: what is bound already keeps the key it has.
Result<std::string> ListenTransport::listen_too(ZmqSocket& socket, const CurveKey& key, std::uint16_t port) {
  ZapDoor::guard(socket, key);
  return listen_on(socket, config_.address, port);
}

Result<void> ListenTransport::serve_key(const KeyPlace& place) {
  if (const auto at = served_.find(place.key); at != served_.end()) {
    if (at->second.place == place) return {};
    return unexpected(ErrorCode::kAlreadyExists, "the key " + short_hex(place.key) + " is served on other ports");
  }
  if (!config_.key_of) return unexpected(ErrorCode::kUnsupported, "this listener has no source of further keys");
  COVEY_TRY(const CurveKey key, config_.key_of(place.key));
  for (Port* const port : {&control_, &bulk_})
    COVEY_TRY_VOID(prove_shut(*door_, *context_, port->socket, key, config_.address));
  return listen_with(key, place);
}

Result<void> ListenTransport::listen_with(const CurveKey& key, const KeyPlace& place) {
  Served served{"", "", place};
  COVEY_TRY(served.control, listen_too(control_.socket, key, place.control_port));
  auto bulk = listen_too(bulk_.socket, key, place.bulk_port);
  if (!bulk) {
    control_.socket.unbind(served.control);
    return unexpected(bulk.error());
  }
  served.bulk = *std::move(bulk);
  served_[place.key] = std::move(served);
  plain_log_.info("key_served", {{"key", short_hex(place.key)}, {"control_port", place.control_port}, {"bulk_port", place.bulk_port}});
  return {};
}

void ListenTransport::drop_key(const PeerKey& key) {
  const auto at = served_.find(key);
  if (at == served_.end()) return;
  control_.socket.unbind(at->second.control);
  bulk_.socket.unbind(at->second.bulk);
  plain_log_.info("key_dropped", {{"key", short_hex(key)}});
  served_.erase(at);
}

}  // namespace

Result<std::unique_ptr<Transport>> listen_transport(const ListenConfig& config, const CurveKey& identity,
                                                    Clock& clock, Log& log) {
  auto context = std::make_unique<ZmqContext>(config.io_threads);
  COVEY_TRY(auto door, ZapDoor::open(*context));
  COVEY_TRY(ZmqSocket control, shut_socket(*context, identity, config, kControlFrameBytesMax, kControlQueueMax));
  COVEY_TRY(ZmqSocket bulk, shut_socket(*context, identity, config, kBulkFrameBytesMax, kBulkQueueMax));
  std::optional<CurveKey> also;
  if (config.also) {
    if (!config.key_of) return unexpected(ErrorCode::kUnsupported, "this listener has no source of further keys");
    COVEY_TRY(also, config.key_of(config.also->key));
    for (ZmqSocket* socket : {&control, &bulk}) COVEY_TRY_VOID(prove_shut(*door, *context, *socket, *also, config.address));
  }
  for (ZmqSocket* socket : {&control, &bulk}) COVEY_TRY_VOID(prove_shut(*door, *context, *socket, identity, config.address));
  COVEY_TRY_VOID(listen_on(control, config.address, config.control_port));
  COVEY_TRY_VOID(listen_on(bulk, config.address, config.bulk_port));
  auto transport = std::make_unique<ListenTransport>(config, identity.public_key(), std::move(context), std::move(door),
                                                     std::move(control), std::move(bulk), clock, log);
  if (also) COVEY_TRY_VOID(transport->listen_with(*also, *config.also));
  return std::unique_ptr<Transport>(std::move(transport));
}

}  // namespace covey
