#include "bench/load/probe.h"

#include <zmq.h>

#include <stdexcept>

#include "bench/load/child.h"
#include "bench/load/estate.h"
#include "core/protocol/limits.h"
#include "net/codec.h"

namespace covey::load {

Probe::Probe(const CoordinatorAddress& address, CurveKey key, const Options& options)
    : instance_(static_cast<std::uint64_t>(now_seconds() * 1e9)), context_(1) {
  auto socket = ZmqSocket::open(context_, ZMQ_DEALER);
  if (!socket) throw std::runtime_error(socket.error().message);
  socket_.emplace(*std::move(socket));
  if (options.curve) {
    socket_->set(ZMQ_CURVE_SERVERKEY, address.curve.span());
    socket_->set(ZMQ_CURVE_PUBLICKEY, key.public_key().span());
    socket_->set(ZMQ_CURVE_SECRETKEY, key.secret().expose());
  }
  if (!options.routing_id.empty()) socket_->set(ZMQ_ROUTING_ID, bytes_of(options.routing_id));
  socket_->set(ZMQ_SNDHWM, 100'000);
  socket_->set(ZMQ_RECONNECT_IVL, -1);
  watch_.emplace(LinkWatch::on(context_, *socket_, "probe").value());
  const std::uint16_t port = options.bulk ? address.bulk_port : address.control_port;
  const auto dialled = socket_->connect("tcp://" + address.host + ":" + std::to_string(port));
  if (!dialled) throw std::runtime_error(dialled.error().message);
}

Probe::~Probe() { socket_.reset(); }

std::optional<LinkState> Probe::await_link(double seconds) {
  const double end = now_seconds() + seconds;
  for (;;) {
    if (const auto change = watch_->next()) return change->state;
    const double left = end - now_seconds();
    if (left <= 0) return std::nullopt;
    zmq_wait({&watch_->socket()}, -1, from_seconds(left));
  }
}

bool Probe::join(double seconds) {
  send(Join{kProtocolVersion, instance_, capability_of_nodes(), kProtocolVersionMin});
  const double end = now_seconds() + seconds;
  while (const auto message = receive(end - now_seconds())) {
    if (std::holds_alternative<JoinAccepted>(*message)) return true;
    if (std::holds_alternative<JoinRefused>(*message)) return false;
  }
  return false;
}

std::optional<double> Probe::round_trip(double seconds) {
  const double begin = now_seconds();
  send(Heartbeat{instance_});
  while (const auto message = receive(begin + seconds - now_seconds()))
    if (std::holds_alternative<HeartbeatAck>(*message)) return now_seconds() - begin;
  return std::nullopt;
}

void Probe::send(const Message& message) { send_raw(encode_frame(message)); }
void Probe::send_raw(const Bytes& frame) { socket_->send({frame}); }

std::optional<Message> Probe::receive(double seconds) {
  const double end = now_seconds() + seconds;
  for (;;) {
    if (const auto raw = socket_->receive(); raw && raw->frames.size() == 1) {
      auto message = decode_frame(raw->frames[0]);
      if (message) return *std::move(message);
    }
    const double left = end - now_seconds();
    if (left <= 0) return std::nullopt;
    zmq_wait({&*socket_}, -1, from_seconds(left));
  }
}

}  // namespace covey::load
