#include "net/dial_transport.h"

#include <zmq.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>

#include "core/base/secure_random.h"
#include "net/codec.h"

namespace covey {
namespace {

constexpr std::size_t kMessagesAtOnce = 128;
constexpr int kControlQueueMax = 256;
constexpr std::size_t kUnsentMax = 256;                          // of at most 16 KiB: 4 MiB
constexpr Duration kSendAgain = std::chrono::milliseconds(20);  // while the link is up but takes nothing
constexpr int kBulkQueueMax = 4 * kChunkCreditsMax;  // 8 MiB
constexpr Duration kRefusedMin = std::chrono::seconds(1);  // before knocking again where we were refused
constexpr Duration kRefusedRedialMax = std::chrono::seconds(30);
// Connecting has 5 s and the handshake 20, and then ZeroMQ says how it ended; of a name that cannot be
// resolved it says nothing. The dialler is the patient side: where thousands come at once, giving up a
// handshake that is under way only makes one more of them.
constexpr int kHandshakeMs = 20'000;
constexpr Duration kDialMax = std::chrono::seconds(30);
constexpr Duration kTellRefused = std::chrono::hours(1);
constexpr Duration kQuiet = std::chrono::seconds(3);      // nothing came on a link that was left: it may close
constexpr Duration kLeavingMax = std::chrono::seconds(60);
constexpr Duration kPreferAgain = std::chrono::minutes(10);  // after the other place had to do

std::uint64_t random_seed() {
  SystemRandom random;
  std::array<std::uint8_t, sizeof(std::uint64_t)> bytes{};
  random.fill(bytes);
  std::uint64_t seed = 0;
  std::memcpy(&seed, bytes.data(), sizeof seed);
  return seed;
}

}  // namespace

// ---- one port
Result<std::unique_ptr<DialledPort>> DialledPort::open(ZmqContext& context, const Peer& peer, const std::string& name,
                                                       ReconnectPace& pace) {
  COVEY_TRY(ZmqSocket socket, ZmqSocket::open(context, ZMQ_DEALER));
  socket.set(ZMQ_IPV6, 1);
  socket.set(ZMQ_CURVE_SERVERKEY, peer.server.span());
  socket.set(ZMQ_CURVE_PUBLICKEY, peer.identity.public_key().span());
  socket.set(ZMQ_CURVE_SECRETKEY, peer.identity.secret().expose());
  set_network_options(socket, peer.bulk ? kBulkFrameBytesMax : kControlFrameBytesMax,
                      peer.bulk ? kBulkQueueMax : kControlQueueMax);
  socket.set(ZMQ_HANDSHAKE_IVL, kHandshakeMs);
  socket.set(ZMQ_RECONNECT_IVL, -1);  // never by itself
  if (peer.bulk) socket.set(ZMQ_IMMEDIATE, 1);  // chunks wait for no connection: they are asked for again
  COVEY_TRY(LinkWatch watch, LinkWatch::on(context, socket, name));
  return std::unique_ptr<DialledPort>(new DialledPort(std::move(socket), std::move(watch), peer.endpoint, pace));
}

std::vector<LinkState> DialledPort::changes(Instant now) {
  std::vector<LinkState> states;
  while (const std::optional<LinkChange> change = watch_.next()) {
    const LinkState state = change->state;
    up_ = state == LinkState::kUp;
    const bool refused = turned_away(state);
    backs_off_ = !up_ && !refused && state != LinkState::kDown;
    refused_for_ = refused ? std::clamp(2 * refused_for_, kRefusedMin, kRefusedRedialMax) : Duration::zero();
    if (up_) {
      pace_.connected();
      redial_at_.reset();
    } else if (state == LinkState::kDown) {
      redial_at_ = now + pace_.after_loss();
    } else {
      redial_at_ = now + (refused ? refused_for_ : pace_.after_failure());
    }
    states.push_back(state);
  }
  return states;
}

void DialledPort::dial(Instant now) {
  ++redials_;
  backs_off_ = false;
  redial_at_ = now + kDialMax;
  socket_.disconnect(endpoint_);
  // Only a lack of memory or descriptors can fail here, and may have passed by the next time.
  if (!socket_.connect(endpoint_)) redial_at_ = now + pace_.after_failure();
}

void DialledPort::tick(Instant now) {
  if (redial_at_ && *redial_at_ <= now) dial(now);
}

void DialledPort::other_up(Instant now) {
  if (!backs_off_) return;
  pace_.connected();
  redial_at_ = std::min(redial_at_.value_or(now), now + pace_.after_loss());
}

void DialledPort::close(Duration linger) {
  socket_.set(ZMQ_LINGER,
              static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(linger).count()));
  socket_.close();
}

// ---- both
Result<std::unique_ptr<DialTransport>> DialTransport::dial(const DialConfig& config, const CurveKey& identity,
                                                           Clock& clock, Log& log, ZmqContext* shared) {
  const CoordinatorAddress& to = config.coordinator;
  if (to.control_port == 0 || to.bulk_port == 0)
    return unexpected(ErrorCode::kInvalidArgument,
                      "the coordinator's ports " + std::to_string(to.control_port) + " and " +
                          std::to_string(to.bulk_port) + " must lie in [1, 65535]");
  std::unique_ptr<DialTransport> transport(new DialTransport(config, identity, clock, log, shared));
  COVEY_TRY(transport->control_, transport->open(false, transport->place_));
  transport->control_->dial(clock.now());
  return transport;
}

DialTransport::DialTransport(const DialConfig& config, const CurveKey& identity, Clock& clock, Log& log,
                             ZmqContext* shared)
    : config_(config),
      identity_(identity),
      pace_(random_seed()),
      bulk_pace_(random_seed()),
      rising_pace_(random_seed()),
      own_context_(shared == nullptr ? std::make_unique<ZmqContext>(1) : nullptr),
      context_(shared == nullptr ? own_context_.get() : shared),
      clock_(clock),
      log_(log),
      limited_(log, clock),
      hello_at_(clock.now() + kHeartbeatInterval) {
  const CoordinatorAddress& to = config_.coordinator;
  place_ = {to.curve, to.control_port, to.bulk_port};
  const Instant now = clock_.now();
  linkless_since_ = now;
  if (!config_.change) return;
  const KeyChange& change = *config_.change;
  const bool begun = now >= change.not_before;
  place_ = begun ? change.after : change.before;
  other_ = begun ? Other{change.before, false, now, change.old_until} : Other{change.after, true, change.not_before, kForEver};
}

Result<std::unique_ptr<DialledPort>> DialTransport::open(bool bulk, const KeyPlace& place) {
  static std::atomic<std::uint64_t> opened = 0;  // watches are named, and a context may be shared
  COVEY_TRY(std::string endpoint,
            tcp_endpoint(config_.coordinator.host, std::to_string(bulk ? place.bulk_port : place.control_port)));
  const bool other = !bulk && control_ != nullptr;
  return DialledPort::open(*context_, {identity_, place.key, std::move(endpoint), bulk}, std::to_string(++opened),
                           bulk ? bulk_pace_ : other ? rising_pace_ : pace_);
}

// ---- the change of the coordinator's key
void DialTransport::follow(const KeyChange& change) {
  const Instant now = clock_.now();
  if (config_.change == change) return;
  config_.change = change;
  rising_.reset();
  if (place_.key == change.after.key) {
    other_ = Other{change.before, false, now, change.old_until};
    return;
  }
  const Instant at = std::max(now, change.not_before) + pace_.after_loss();
  other_ = Other{change.after, true, at, kForEver};
  log_.info("key_change_ahead", {{"serial", change.serial}, {"in_s", seconds(at - now)}});
}

// Beside the link that is there, or in vain sought.
void DialTransport::look_elsewhere(Instant now) {
  if (!other_) return;
  if (now >= other_->until) {
    rising_.reset();
    other_.reset();
    return;
  }
  const bool lost = !control_->up() && now - linkless_since_ >= config_.other_after;
  const bool wanted = lost || (other_->preferred && now >= other_->at);
  if (!wanted && rising_ && control_->up()) rising_.reset();
  if (!wanted || rising_) return;
  auto port = open(false, other_->place);
  if (!port) {  // for want of descriptors
    other_->at = now + kRefusedMin;
    linkless_since_ = now;
    return limited_.warning("key_change_waits", {{"reason", port.error().message}});
  }
  rising_ = *std::move(port);
  rising_->dial(now);
}

void DialTransport::watch_rising(Instant now, std::vector<Incoming>& out) {
  for (const LinkState state : rising_->changes(now)) {
    if (state == LinkState::kUp) return move_over(now, out);
    other_->refused = turned_away(state);
    limited_.warning("key_change_waits",
                     {{"address", rising_->endpoint()}, {"reason", describe(state, rising_->endpoint())}});
  }
}

void DialTransport::move_over(Instant now, std::vector<Incoming>& out) {
  breaks_ += control_->redials() + 1;  // what was sent on the old link may be lost
  part(std::exchange(control_, std::move(rising_)), false, now);
  const bool moves = bulk_ != nullptr;
  if (moves) part(std::move(bulk_), true, now);
  const KeyPlace left = std::exchange(place_, other_->place);
  other_ = other_->preferred ? Other{left, false, now, config_.change->old_until}
                             : Other{left, true, now + kPreferAgain, kForEver};
  state_ = LinkState::kUp;
  rejections_ = 0;
  refused_since_.reset();
  disputed_ = false;
  log_.info("link_moved", {{"address", control_->endpoint()}, {"key", short_hex(place_.key)}});
  out.push_back({{config_.coordinator.curve, 1}, Ping{}});  // as for a link that is up again
  if (moves) dial_bulk();
}

// What was asked for on it may still come.
void DialTransport::part(std::unique_ptr<DialledPort> port, bool bulk, Instant now) {
  if (!port->up()) return port->close(Duration::zero());
  leaving_.push_back({std::move(port), bulk, now, now});
}

void DialTransport::close_quiet(Instant now) {
  const std::size_t before = leaving_.size();
  std::erase_if(leaving_, [&](Leaving& leaving) {
    if (now - leaving.heard < kQuiet && now - leaving.since < kLeavingMax) return false;
    leaving.port->close(kQuiet);
    return true;
  });
  if (leaving_.size() != before) hello(now);  // our blobs are to be asked for at the new bulk link
}

std::vector<const ZmqSocket*> DialTransport::sockets() const {
  std::vector<const ZmqSocket*> all{&control_->socket(), &control_->watch()};
  if (bulk_) all.insert(all.end(), {&bulk_->socket(), &bulk_->watch()});
  if (rising_) all.push_back(&rising_->watch());
  for (const Leaving& leaving : leaving_) all.push_back(&leaving.port->socket());
  return all;
}

std::vector<Incoming> DialTransport::receive() {
  const Instant now = clock_.now();
  std::vector<Incoming> messages;
  watch(*control_, now, messages);
  if (bulk_) watch(*bulk_, now, messages);
  if (rising_) watch_rising(now, messages);
  for (Leaving& leaving : leaving_)
    if (receive_from(*leaving.port, leaving.bulk, messages)) leaving.heard = now;
  receive_from(*control_, false, messages);
  if (bulk_) receive_from(*bulk_, true, messages);
  return messages;
}

void DialTransport::watch(DialledPort& port, Instant now, std::vector<Incoming>& out) {
  for (const LinkState state : port.changes(now)) {
    const bool bulk = &port == bulk_.get();
    if (bulk && state == LinkState::kUp) {
      hello(now);
      out.push_back({{config_.coordinator.curve, 1}, BulkHello{}});  // as the coordinator's transport says it
    }
    // A coordinator that restarted knows this link no more: the machine says that it is alive, and hears
    // at once whether it must join again.
    if (!bulk && state == LinkState::kUp && breaks() > 0) out.push_back({{config_.coordinator.curve, 1}, Ping{}});
    if (!bulk) {
      state_ = state;
      if (state == LinkState::kDown) {
        ++breaks_;
        linkless_since_ = now;
      }
      const bool rejected = turned_away(state);
      rejections_ = rejected ? rejections_ + 1 : 0;
      if (!rejected) refused_since_.reset();
      if (rejected && !refused_since_) refused_since_ = now;
      if (state == LinkState::kEnded) dispute(now);
    }
    if (state == LinkState::kUp) {
      if (DialledPort* other = bulk ? control_.get() : bulk_.get()) other->other_up(now);
      if (!bulk) disputed_ = false;
      log_.info("link_up", {{"address", port.endpoint()}});
      continue;
    }
    const bool refused = turned_away(state);
    limited_.warning(refused ? "link_refused" : "link_down",
                     {{"address", port.endpoint()}, {"reason", describe(state, port.endpoint())}});
  }
}

// Said once until a link is up: it knocks for as long as the coordinator's clock is wrong.
void DialTransport::dispute(Instant now) {
  if (disputed_ || !config_.stands || !config_.stands(now)) return;
  disputed_ = true;
  log_.warning("membership_disputed",
               {{"address", control_->endpoint()},
                {"clock", iso8601(now)},
                {"text", "the coordinator refuses this node as one whose membership is over; by what the authority signed "
                         "and by this machine's clock it stands, so one of the two clocks is wrong; it goes on knocking"}});
}

bool DialTransport::receive_from(DialledPort& port, bool bulk, std::vector<Incoming>& out) {
  for (std::size_t i = 0; i < kMessagesAtOnce; ++i) {
    const std::optional<ZmqMessage> raw = port.socket().receive();
    if (!raw) return i > 0;
    Result<Message> message =
        raw->frames.size() == 1
            ? decode_frame(raw->frames[0])
            : unexpected(ErrorCode::kInvalidMessage,
                         "it has " + std::to_string(raw->frames.size()) + " frames, not one");
    if (message && is_bulk(*message) != bulk)
      message =
          unexpected(ErrorCode::kInvalidMessage, std::string(name_of(*message)) + " came on the other port");
    if (message && std::holds_alternative<BulkHello>(*message)) continue;  // only diallers greet
    if (message) note(*message);
    if (message)
      out.push_back({{config_.coordinator.curve, 1}, *std::move(message)});
    else
      limited_.warning("message_dropped", {{"peer", "coordinator"}, {"reason", message.error().message}});
  }
  return true;
}

// The window is the transport's to keep: the machine knows nothing of connections.
void DialTransport::note(const Message& message) {
  const auto* accepted = std::get_if<JoinAccepted>(&message);
  if (accepted == nullptr) return;
  pace_.set_window(accepted->reconnect_window);
  bulk_pace_.set_window(accepted->reconnect_window);
  rising_pace_.set_window(accepted->reconnect_window);
}

void DialTransport::send(const Link& to, const Message& message) {
  COVEY_CHECK(to.peer == config_.coordinator.curve);
  unsent_.push_back(encode_frame(message));
  send_waiting();
  if (unsent_.size() <= kUnsentMax) return;
  unsent_.pop_front();
  limited_.warning("send_dropped", {{"message", "the oldest of " + std::to_string(kUnsentMax)},
                                    {"reason", "the link is down, or the coordinator does not read"}});
}

void DialTransport::send_waiting() {
  while (!unsent_.empty() && control_->up() && control_->socket().send({unsent_.front()}) == ZmqSent::kDone)
    unsent_.pop_front();
}

void DialTransport::send_bulk(PeerKey to, const Message& message) {
  dial_bulk();
  if (to != config_.coordinator.curve) return;
  DialledPort* way = bulk_.get();
  if (!bulk_up())  // the one that is being left still works
    for (Leaving& leaving : leaving_)
      if (leaving.bulk) way = leaving.port.get();
  if (way != nullptr) way->socket().send({encode_frame(message)});
}

// Only when there is something to move: an idle client costs the coordinator one connection, not two.
void DialTransport::dial_bulk() {
  if (bulk_) return;
  Result<std::unique_ptr<DialledPort>> port = open(true, place_);
  if (!port) return limited_.warning("bulk_link_failed", {{"reason", port.error().message}});  // the next message asks again
  bulk_ = *std::move(port);
  bulk_->dial(clock_.now());
}

void DialTransport::hello(Instant now) {
  hello_at_ = now + kHeartbeatInterval;
  if (greets_ && bulk_up()) send_bulk(config_.coordinator.curve, BulkHello{});
}

void DialTransport::greet() {
  if (greets_) return;
  greets_ = true;
  dial_bulk();
  hello(clock_.now());
}

// A refusal comes before there is a key to sign it with: whoever is on the wire can make one up. So it ends nobody
// for good, unless what the authority signed for us says the same.
std::optional<Error> DialTransport::hopeless(Instant now) const {
  if (!refused_since_ || now - *refused_since_ < config_.refused_max) return std::nullopt;
  if (state_ != LinkState::kEnded || !config_.stands || config_.stands(now)) return std::nullopt;
  if (other_ && !other_->refused && now < other_->until) return std::nullopt;  // it is tried as well
  return Error{ErrorCode::kPermissionDenied, describe(state_, control_->endpoint()) + ", for " +
                                                 std::to_string(static_cast<int>(seconds(config_.refused_max))) + " s now"};
}

void DialTransport::tell_refused(Instant now) {
  if (!refused_since_ || now - *refused_since_ < config_.refused_max || now < refused_told_ + kTellRefused) return;
  if (state_ == LinkState::kEnded) return;  // disputed, or the end
  if (other_ && !other_->refused && now < other_->until) return;
  refused_told_ = now;
  const std::string remedy =
      state_ == LinkState::kForeign
          ? ""
          : "; if its operator revoked this node (`covey nodes` says so), stop it, and enrol anew with a new token in a new "
            "folder: covey-client --home NEW --token @FILE --name NAME; if the coordinator was put back to an older state, its "
            "operator must let this node in again, with a new token too";
  log_.error("link_refused_long", {{"address", control_->endpoint()},
                                   {"since", iso8601(*refused_since_)},
                                   {"reason", describe(state_, control_->endpoint()) + remedy +
                                                  ". A refusal of a connection is not signed and may be forged on the way, so this "
                                                  "node goes on knocking"}});
}

void DialTransport::tick(Instant now) {
  control_->tick(now);
  if (bulk_) bulk_->tick(now);
  if (rising_) rising_->tick(now);
  look_elsewhere(now);
  close_quiet(now);
  if (hello_at_ <= now) hello(now);
  send_waiting();
  tell_refused(now);
  send_again_at_ = now + kSendAgain;
}

Instant DialTransport::next_tick() const {
  Instant next = hello_at_;
  if (!unsent_.empty() && control_->up()) next = std::min(next, send_again_at_);
  if (other_ && !rising_) {
    if (other_->preferred) next = std::min(next, other_->at);
    if (!control_->up()) next = std::min(next, linkless_since_ + config_.other_after);
  }
  for (const Leaving& leaving : leaving_) next = std::min({next, leaving.heard + kQuiet, leaving.since + kLeavingMax});
  for (const DialledPort* port : {control_.get(), bulk_.get(), rising_.get()})
    if (port != nullptr && port->redial_at()) next = std::min(next, *port->redial_at());
  return next;
}

void DialTransport::close(Duration linger) {
  if (context_ == nullptr) return;
  if (linger > Duration::zero() && control_) send_waiting();
  if (control_) control_->close(linger);
  if (bulk_) bulk_->close(Duration::zero());
  leaving_.clear();
  rising_.reset();
  control_.reset();
  bulk_.reset();
  own_context_.reset();
  context_ = nullptr;
}

}  // namespace covey
