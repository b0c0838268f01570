#include "net/dial_transport.h"

#include <zmq.h>

#include <algorithm>

#include "net/codec.h"

namespace covey {
namespace {

constexpr std::size_t kMessagesAtOnce = 128;
constexpr Duration kRefusedMax = std::chrono::seconds(45);  // a coordinator that starts refuses for a moment too
constexpr int kControlQueueMax = 256;
constexpr int kBulkQueueMax = 4 * kChunkCreditsMax;  // 8 MiB
constexpr Duration kRedialMin = std::chrono::seconds(1);
constexpr Duration kRedialMax = std::chrono::seconds(30);

}  // namespace

// ---- one port
Result<std::unique_ptr<DialledPort>> DialledPort::dial(ZmqContext& context, const CurveKey& identity,
                                                       PeerKey server, const std::string& endpoint,
                                                       bool bulk) {
  COVEY_TRY(ZmqSocket socket, ZmqSocket::open(context, ZMQ_DEALER));
  socket.set(ZMQ_IPV6, 1);
  socket.set(ZMQ_CURVE_SERVERKEY, server.span());
  socket.set(ZMQ_CURVE_PUBLICKEY, identity.public_key().span());
  socket.set(ZMQ_CURVE_SECRETKEY, identity.secret().expose());
  set_network_options(socket, bulk ? kBulkFrameBytesMax : kControlFrameBytesMax,
                      bulk ? kBulkQueueMax : kControlQueueMax);
  if (bulk) socket.set(ZMQ_IMMEDIATE, 1);  // chunks wait for no connection: they are asked for again
  COVEY_TRY(LinkWatch watch, LinkWatch::on(context, socket, bulk ? "bulk" : "control"));
  COVEY_TRY_VOID(socket.connect(endpoint));
  return std::unique_ptr<DialledPort>(new DialledPort(std::move(socket), std::move(watch), endpoint));
}

std::vector<LinkState> DialledPort::changes(Instant now) {
  std::vector<LinkState> states;
  while (const std::optional<LinkChange> change = watch_.next()) {
    up_ = change->state == LinkState::kUp;
    if (up_) {
      redial_at_.reset();
      redial_after_ = {};
    } else if (change->state == LinkState::kRefused || change->state == LinkState::kForeign) {
      redial_after_ = std::clamp(2 * redial_after_, kRedialMin, kRedialMax);
      redial_at_ = now + redial_after_;
    }
    states.push_back(change->state);
  }
  return states;
}

void DialledPort::tick(Instant now) {
  if (!redial_at_ || *redial_at_ > now) return;
  redial_at_.reset();
  ++redials_;
  socket_.disconnect(endpoint_);
  // The endpoint was dialled before, so only a lack of memory or descriptors can fail here.
  if (!socket_.connect(endpoint_)) redial_at_ = now + kRedialMax;
}

void DialledPort::close(Duration linger) {
  socket_.set(ZMQ_LINGER,
              static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(linger).count()));
  socket_.close();
}

// ---- both
Result<std::unique_ptr<DialTransport>> DialTransport::dial(const DialConfig& config, const CurveKey& identity,
                                                           Clock& clock, Log& log) {
  const CoordinatorAddress& to = config.coordinator;
  if (to.control_port == 0 || to.bulk_port == 0)
    return unexpected(ErrorCode::kInvalidArgument,
                      "the coordinator's ports " + std::to_string(to.control_port) + " and " +
                          std::to_string(to.bulk_port) + " must lie in [1, 65535]");
  COVEY_TRY(const std::string control_endpoint, tcp_endpoint(to.host, std::to_string(to.control_port)));
  COVEY_TRY(const std::string bulk_endpoint, tcp_endpoint(to.host, std::to_string(to.bulk_port)));
  auto context = std::make_unique<ZmqContext>(1);
  COVEY_TRY(auto control, DialledPort::dial(*context, identity, to.curve, control_endpoint, false));
  COVEY_TRY(auto bulk, DialledPort::dial(*context, identity, to.curve, bulk_endpoint, true));
  return std::unique_ptr<DialTransport>(
      new DialTransport(config, std::move(context), std::move(control), std::move(bulk), clock, log));
}

DialTransport::DialTransport(const DialConfig& config, std::unique_ptr<ZmqContext> context,
                             std::unique_ptr<DialledPort> control, std::unique_ptr<DialledPort> bulk,
                             Clock& clock, Log& log)
    : config_(config),
      context_(std::move(context)),
      control_(std::move(control)),
      bulk_(std::move(bulk)),
      clock_(clock),
      log_(log),
      limited_(log, clock),
      hello_at_(clock.now() + kHeartbeatInterval) {}

std::vector<const ZmqSocket*> DialTransport::sockets() const {
  return {&control_->socket(), &control_->watch(), &bulk_->socket(), &bulk_->watch()};
}

std::vector<Incoming> DialTransport::receive() {
  const Instant now = clock_.now();
  std::vector<Incoming> messages;
  watch(*control_, now, messages);
  watch(*bulk_, now, messages);
  receive_from(*control_, messages);
  receive_from(*bulk_, messages);
  return messages;
}

void DialTransport::watch(DialledPort& port, Instant now, std::vector<Incoming>& out) {
  for (const LinkState state : port.changes(now)) {
    const bool bulk = &port == bulk_.get();
    if (bulk && state == LinkState::kUp) {
      hello(now);
      out.push_back({{config_.coordinator.curve, 1}, BulkHello{}});  // as the coordinator's transport says it
    }
    if (!bulk) {
      state_ = state;
      if (state == LinkState::kDown) ++breaks_;
      const bool rejected = state == LinkState::kRefused || state == LinkState::kForeign;
      rejections_ = rejected ? rejections_ + 1 : 0;
      if (!rejected) refused_since_.reset();
      if (rejected && !refused_since_) refused_since_ = now;
    }
    if (state == LinkState::kUp) {
      log_.info("link_up", {{"address", port.endpoint()}});
      continue;
    }
    const bool refused = state == LinkState::kRefused || state == LinkState::kForeign;
    limited_.warning(refused ? "link_refused" : "link_down",
                     {{"address", port.endpoint()}, {"reason", describe(state, port.endpoint())}});
  }
}

void DialTransport::receive_from(DialledPort& port, std::vector<Incoming>& out) {
  const bool bulk = &port == bulk_.get();
  for (std::size_t i = 0; i < kMessagesAtOnce; ++i) {
    const std::optional<ZmqMessage> raw = port.socket().receive();
    if (!raw) return;
    Result<Message> message =
        raw->frames.size() == 1
            ? decode_frame(raw->frames[0])
            : unexpected(ErrorCode::kInvalidMessage,
                         "it has " + std::to_string(raw->frames.size()) + " frames, not one");
    if (message && is_bulk(*message) != bulk)
      message =
          unexpected(ErrorCode::kInvalidMessage, std::string(name_of(*message)) + " came on the other port");
    if (message && std::holds_alternative<BulkHello>(*message)) continue;  // only diallers greet
    if (message)
      out.push_back({{config_.coordinator.curve, 1}, *std::move(message)});
    else
      limited_.warning("message_dropped", {{"peer", "coordinator"}, {"reason", message.error().message}});
  }
}

void DialTransport::send(const Link& to, const Message& message) {
  COVEY_CHECK(to.peer == config_.coordinator.curve);
  if (control_->socket().send({encode_frame(message)}) != ZmqSent::kDone)
    limited_.warning("send_dropped", {{"message", name_of(message)}, {"reason", "the link's queue is full"}});
}

void DialTransport::send_bulk(PeerKey to, const Message& message) {
  if (to == config_.coordinator.curve) bulk_->socket().send({encode_frame(message)});
}

void DialTransport::hello(Instant now) {
  hello_at_ = now + kHeartbeatInterval;
  if (greets_ && bulk_->up()) send_bulk(config_.coordinator.curve, BulkHello{});
}

void DialTransport::greet() {
  if (greets_) return;
  greets_ = true;
  hello(clock_.now());
}

std::optional<Error> DialTransport::hopeless(Instant now) const {
  if (!refused_since_ || now - *refused_since_ < kRefusedMax) return std::nullopt;
  return Error{ErrorCode::kPermissionDenied, describe(state_, control_->endpoint()) + ", for " +
                                                 std::to_string(static_cast<int>(seconds(kRefusedMax))) +
                                                 " s now; to enrol again, ask for a new token and use a new --home"};
}

void DialTransport::tick(Instant now) {
  control_->tick(now);
  bulk_->tick(now);
  if (hello_at_ <= now) hello(now);
}

Instant DialTransport::next_tick() const {
  Instant next = hello_at_;
  for (const auto& redial : {control_->redial_at(), bulk_->redial_at()})
    if (redial) next = std::min(next, *redial);
  return next;
}

void DialTransport::close(Duration linger) {
  if (!context_) return;
  control_->close(linger);
  bulk_->close(Duration::zero());
  control_.reset();
  bulk_.reset();
  context_.reset();
}

}  // namespace covey
