// Rows 11, 26 and 27: altered and malformed traffic, downgrade, and the theft of an identity.
#include <algorithm>
#include <functional>
#include <memory>

#include "bench/load/estate.h"
#include "bench/load/probe.h"
#include "bench/load/proxy.h"
#include "bench/load/raw_socket.h"
#include "bench/reliability/rows.h"
#include "client/client.h"
#include "core/base/random.h"
#include "core/base/secure_random.h"
#include "core/protocol/limits.h"
#include "net/codec.h"
#include "net/zap_door.h"
#include "tests/net/message_samples.h"

#include <zmq.h>

namespace covey::bench {
namespace {

using namespace load;

constexpr std::size_t kFrames = 1'000'000;
constexpr std::size_t kFlippers = 4;
constexpr std::size_t kFlippedConnections = 250;  // of each
constexpr std::size_t kFlippedNodes = 500;  // a node may not join without end
constexpr std::size_t kTries = 100;

bool served(Estate& estate, std::size_t node) {
  Probe honest(estate.address(), key_of_node(node));
  return estate.service().alive() && honest.join(20);
}

// A member's heartbeats through the proxy: an altered one that got through would not be its own.
std::uint64_t altered_through(const CoordinatorAddress& real, const FlippingProxy& proxy, std::size_t flipper) {
  CoordinatorAddress address = real;
  address.control_port = proxy.port();
  std::uint64_t altered = 0;
  for (std::size_t i = 0; i < kFlippedConnections; ++i) {
    Probe probe(address, key_of_node(10 + (kFlippers * i + flipper) % kFlippedNodes));
    probe.send(Join{kProtocolVersion, probe.instance(), capability_of_nodes(), kProtocolVersionMin});
    for (int beat = 0; beat < 8; ++beat) probe.send(Heartbeat{probe.instance()});
    std::size_t answers = 0;
    const auto cut = [&] {
      const auto link = probe.await_link(0);
      return link && *link != LinkState::kUp;
    };
    for (double silent = 0; silent < 0.06 && !cut();) {
      const auto message = probe.receive(0.004);
      silent = message ? 0 : silent + 0.004;
      if (!message) continue;
      // Only these two answer what was sent; a rival of its own last life may be told to wait.
      const bool expected = std::holds_alternative<JoinAccepted>(*message) || std::holds_alternative<HeartbeatAck>(*message) ||
                            std::holds_alternative<RejoinRequired>(*message) || std::holds_alternative<Ping>(*message) ||
                            std::holds_alternative<JoinRefused>(*message);
      altered += expected ? 0 : 1;
      if (++answers == 9) break;
    }
  }
  return altered;
}

Bytes malformed(Random& random, const std::vector<Bytes>& samples) {
  Bytes frame = samples[random.below(samples.size())];
  switch (random.below(4)) {
    case 0:  // some bits flipped
      for (std::uint64_t n = 1 + random.below(8); n > 0 && !frame.empty(); --n)
        frame[random.below(frame.size())] ^= static_cast<std::uint8_t>(1U << random.below(8));
      break;
    case 1:  // cut
      frame.resize(random.below(frame.size() + 1));
      break;
    case 2:  // longer than it says
      frame.resize(std::min<std::size_t>(frame.size() + 1 + random.below(4096), kControlFrameBytesMax), 0xa5);
      break;
    default:  // a word that may be a length or an offset
      for (std::size_t i = 0, at = random.below(std::max<std::size_t>(frame.size() / 8, 1)) * 8; i < 8 && at + i < frame.size(); ++i)
        frame[at + i] = static_cast<std::uint8_t>(random.next());
  }
  return frame;
}

// A client's operator requests are refused by their numbers, whatever became of the frames before.
bool read_by_the_service(Probe& probe) {
  static std::uint64_t marker = 0xc0feull << 32;
  for (int tried = 0; tried < 20; ++tried) {  // the answer may find our own queue full
    probe.send(OperatorRequest{++marker, ListNodes{0}});
    const double end = now_seconds() + 1;
    while (const auto message = probe.receive(end - now_seconds()))
      if (const auto* reply = std::get_if<OperatorReply>(&*message); reply != nullptr && reply->id == marker) return true;
  }
  return false;
}

// From a member, inside CURVE: what the codec and the machine must stand.
std::size_t bombard(const CoordinatorAddress& address, std::size_t frames, std::uint64_t seed) {
  std::vector<Bytes> samples;
  for (const Message& message : message_samples())
    if (!is_bulk(message)) samples.push_back(encode_frame(message));
  Random random(seed);
  std::size_t sent = 0;
  while (sent < frames) {
    Probe probe(address, key_of_node(1 + sent % 5));
    probe.join(5);
    for (std::size_t i = 0; i < 50'000 && sent < frames; ++i, ++sent) {
      probe.send_raw(malformed(random, samples));
      if (i % 256 == 0) while (probe.receive(0)) {
        }
    }
    if (!read_by_the_service(probe)) return sent;
    probe.send_raw(Bytes(kControlFrameBytesMax + 4096, 1));  // and this ends the connection
    probe.await_link(1);
  }
  return sent;
}

}  // namespace

std::vector<Figure> net_malformed() {
  Estate estate(kFlippedNodes + 10);
  estate.serve();
  std::vector<std::unique_ptr<FlippingProxy>> proxies;
  std::vector<Child> flippers;
  SharedCounter counted;
  const double begin = now_seconds();
  for (std::size_t f = 0; f < kFlippers; ++f) {
    proxies.push_back(std::make_unique<FlippingProxy>(estate.address().control_port, 11 + f));
    flippers.emplace_back([&, f] {
      counted.add(altered_through(estate.address(), *proxies[f], f));
      return 0;
    });
  }
  std::uint64_t flips = 0, unfinished = 0;
  for (Child& flipper : flippers) unfinished += flipper.wait(60) == 0 ? 0 : 1;
  for (const auto& proxy : proxies) flips += proxy->flips();
  const std::uint64_t altered = counted.get();
  const std::string log = estate.log();
  const bool decoded = log.find("message_dropped") != std::string::npos;  // nothing flipped may even reach the codec
  const double flipped = now_seconds();
  const std::size_t frames = bombard(estate.address(), kFrames, 12);
  const double end = now_seconds();
  const bool alive = frames == kFrames && served(estate, 9);
  const std::string beside = std::to_string(flips) + " flips in " + std::to_string(kFlippers * kFlippedConnections) + " connections in " +
                             std::to_string(static_cast<int>(flipped - begin)) + " s, then " + std::to_string(frames) +
                             " malformed frames of members in " + std::to_string(static_cast<int>(end - flipped)) + " s";
  return {exactly("row 11: altered messages taken for genuine", static_cast<double>(altered + unfinished + (decoded ? 1 : 0)), "", 0, beside),
          exactly("row 11: crashes in a million malformed frames", alive ? 0 : 1, "", 0,
                  std::string("afterwards a client joins: ") + (alive ? "yes" : "no"))};
}

namespace {

struct Tally {
  std::size_t tried = 0, refused = 0;
  std::string text = {};
  void add(const char* what, std::size_t count, const std::function<bool()>& is_refused) {
    std::size_t good = 0;
    for (std::size_t i = 0; i < count; ++i) good += is_refused() ? 1 : 0;
    tried += count;
    refused += good;
    text += (text.empty() ? "" : ", ") + std::string(what) + " " + std::to_string(good) + "/" + std::to_string(count);
  }
};

bool kept_out(const CoordinatorAddress& address, CurveKey key, const Probe::Options& options) {
  Probe probe(address, std::move(key), options);
  probe.send(Heartbeat{1});
  const auto link = probe.await_link(6);
  return link != LinkState::kUp && !probe.receive(0);
}

bool join_refused(const CoordinatorAddress& address, std::uint32_t newest, std::uint32_t oldest) {
  Probe probe(address, key_of_node(0));
  probe.send(Join{newest, probe.instance(), capability_of_nodes(), oldest});
  const auto answer = probe.receive(5);
  const auto* refused = answer ? std::get_if<JoinRefused>(&*answer) : nullptr;
  return refused != nullptr && refused->error.code == ErrorCode::kUnsupported &&
         refused->error.message.find("version " + std::to_string(kProtocolVersion)) != std::string::npos;
}

// A client that speaks newer versions only, at a coordinator that chose an old one.
bool client_refuses_downgrade() {
  ClientConfig config;
  config.protocol = {kProtocolVersion + 1, kProtocolVersion + 3};
  const auto client = Client::create(config, {}).value();
  client->handle(Started{}, instant_of_nanos(1));
  for (const Command& command : client->handle(Received{config.coordinator, JoinAccepted{"n", 1, kProtocolVersion, {}}}, instant_of_nanos(2)))
    if (const auto* halt = std::get_if<Halt>(&command)) return halt->exit_code != 0;
  return false;
}

// A guarded socket in a process whose door is dead: ZeroMQ alone would let everyone in.
bool dead_door_stays_shut() {
  SystemRandom random;
  const CurveKey server = CurveKey::generate(random);
  ZmqContext context(1);
  auto socket = ZmqSocket::open(context, ZMQ_ROUTER).value();
  ZapDoor::guard(socket, server);
  const std::uint16_t port = listening_port();
  if (!socket.bind("tcp://127.0.0.1:" + std::to_string(port))) return false;
  CoordinatorAddress address{"127.0.0.1", port, port, server.public_key(), {}, {}};
  Probe probe(address, CurveKey::generate(random));
  probe.send(Heartbeat{1});
  const auto link = probe.await_link(1);
  return link != LinkState::kUp && !socket.receive();
}

}  // namespace

std::vector<Figure> net_downgrade() {
  Estate estate(3);
  estate.serve();
  SystemRandom random;
  const CoordinatorAddress& address = estate.address();
  CoordinatorAddress foreign = address;
  foreign.curve = CurveKey::generate(random).public_key();
  Tally tally;
  tally.add("NULL mechanism", kTries, [&] { return kept_out(address, key_of_node(0), {{}, tally.tried % 2 == 1, false}); });
  tally.add("unknown key", kTries, [&] { return kept_out(address, CurveKey::generate(random), {}); });
  tally.add("unknown key, bulk", kTries, [&] { return kept_out(address, CurveKey::generate(random), {{}, true, true}); });
  tally.add("wrong server key", kTries, [&] { return kept_out(foreign, key_of_node(0), {}); });
  tally.add("older version", kTries, [&] { return join_refused(address, kProtocolVersion - 1, 0); });
  tally.add("newer version only", kTries, [&] { return join_refused(address, kProtocolVersion + 4, kProtocolVersion + 1); });
  tally.add("coordinator below a client", kTries, [] { return client_refuses_downgrade(); });
  tally.add("dead ZAP handler", 10, [] { return dead_door_stays_shut(); });
  return {exactly("row 26: downgrades and impostors refused",
                  100.0 * static_cast<double>(tally.refused) / static_cast<double>(tally.tried), "%", 100, tally.text)};
}

std::vector<Figure> net_hijack() {
  Estate estate(2 * kTries);
  estate.serve();
  std::size_t misrouted = 0, lost = 0, thief_heard = 0, answered = 0;
  for (std::size_t i = 0; i < kTries; ++i) {
    const std::string id = "id-" + std::to_string(i);
    Probe victim(estate.address(), key_of_node(2 * i), {id, false, true});
    if (!victim.join(10)) ++lost;
    Probe thief(estate.address(), key_of_node(2 * i + 1), {id, false, true});
    thief.send(Join{kProtocolVersion, thief.instance(), capability_of_nodes(), kProtocolVersionMin});
    thief.send(Heartbeat{thief.instance()});
    for (int beat = 0; beat < 10; ++beat) {
      if (victim.round_trip(5)) ++answered;
      else ++lost;
      // The thief is a member: answers to its own messages are its own. A HeartbeatAck before a JoinAccepted
      // of its own is the victim's.
      while (const auto stolen = thief.receive(0)) {
        ++thief_heard;
        misrouted += std::holds_alternative<HeartbeatAck>(*stolen) ? 1 : 0;
      }
    }
  }
  return {exactly("row 27: messages misrouted to who claims another's routing id", static_cast<double>(misrouted + lost), "", 0,
                  std::to_string(answered) + " of the victim's answered in " + std::to_string(kTries) + " attempts; the thief heard " +
                      std::to_string(thief_heard))};
}

}  // namespace covey::bench
