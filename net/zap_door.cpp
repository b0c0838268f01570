#include "net/zap_door.h"

#include <zmq.h>

#include <chrono>

#include "core/base/secure_random.h"
#include "net/link_watch.h"

namespace covey {
namespace {

constexpr int kZapEnforceDomain = 93;  // ZMQ_ZAP_ENFORCE_DOMAIN, which zmq.h shows to draft users only
constexpr std::string_view kDomain = "covey";
constexpr std::string_view kZapWelcome = "200";
constexpr std::string_view kZapUnknown = "400";
constexpr std::string_view kZapEnded = "500";  // see kEndedStatus in link_watch.cpp
constexpr auto kProofMax = std::chrono::seconds(5);
constexpr std::size_t kAnswersAtOnce = 256;

}  // namespace

Result<std::unique_ptr<ZapDoor>> ZapDoor::open(ZmqContext& context) {
  COVEY_TRY(ZmqSocket socket, ZmqSocket::open(context, ZMQ_REP));
  COVEY_TRY_VOID(socket.bind("inproc://zeromq.zap.01"));
  return std::unique_ptr<ZapDoor>(new ZapDoor(std::move(socket)));
}

std::optional<Admission> ZapDoor::admission(PeerKey peer) const {
  const auto found = admitted_.find(peer);
  return found == admitted_.end() ? std::nullopt : std::optional(found->second);
}

void ZapDoor::guard(ZmqSocket& server, const CurveKey& identity) {
  server.set(ZMQ_CURVE_SERVER, 1);
  server.set(ZMQ_CURVE_SECRETKEY, identity.secret().expose());
  server.set(ZMQ_ZAP_DOMAIN, bytes_of(kDomain));
  server.set(kZapEnforceDomain, 1);
}

void ZapDoor::admit(PeerKey peer, Admission admission) {
  ended_.erase(peer);
  admitted_[peer] = admission;
}

void ZapDoor::expel(PeerKey peer, Expulsion why) {
  admitted_.erase(peer);
  if (why == Expulsion::kEnded)
    ended_.insert(peer);
  else
    ended_.erase(peer);
}

// A peer that is refused hears the status and nothing else, so the one whose day has come gets a status of its own.
ZapDoor::Answer ZapDoor::answer_to(const std::vector<Bytes>& request) const {
  const Answer stranger{kZapUnknown, "unknown key", {}};
  if (request.size() != 7 || text_of(request[2]) != kDomain || text_of(request[5]) != "CURVE") return stranger;
  const Result<PeerKey> key = fixed_from<PeerKey>(request[6]);
  if (!key) return stranger;
  if (ended_.contains(*key)) return {kZapEnded, "its membership is over", {}};
  if (!admission(*key)) return stranger;
  return {kZapWelcome, "", hex(key->span())};
}

// Request: version, id, domain, address, routing id, mechanism, credentials.
// Reply: version, id, status, text, user id, metadata. The user id comes back with every message.
void ZapDoor::answer() {
  for (std::size_t i = 0; i < kAnswersAtOnce; ++i) {
    const std::optional<ZmqMessage> request = socket_.receive();
    if (!request) return;
    const auto& frames = request->frames;
    const Bytes none;
    const Bytes& id = frames.size() > 1 ? frames[1] : none;
    const Answer answer = answer_to(frames);
    socket_.send({bytes_of("1.0"), id, bytes_of(answer.status), bytes_of(answer.text), bytes_of(answer.user), ByteSpan{}});
  }
}

Result<void> ZapDoor::prove_shut(ZmqContext& context, const std::string& endpoint, PeerKey server) {
  SystemRandom random;
  const CurveKey stranger = CurveKey::generate(random);
  COVEY_TRY(ZmqSocket knocker, ZmqSocket::open(context, ZMQ_DEALER));
  knocker.set(ZMQ_IPV6, 1);
  knocker.set(ZMQ_CURVE_SERVERKEY, server.span());
  knocker.set(ZMQ_CURVE_PUBLICKEY, stranger.public_key().span());
  knocker.set(ZMQ_CURVE_SECRETKEY, stranger.secret().expose());
  COVEY_TRY(LinkWatch watch, LinkWatch::on(context, knocker, "proof of " + endpoint));
  Result<void> proof = knocker.connect(endpoint);
  if (proof) proof = await_refusal(watch, endpoint);
  knocker.close();  // before its watch, see link_watch.h
  return proof;
}

Result<void> ZapDoor::await_refusal(LinkWatch& watch, const std::string& endpoint) {
  const auto end = std::chrono::steady_clock::now() + kProofMax;
  while (std::chrono::steady_clock::now() < end) {
    zmq_wait({&socket_, &watch.socket()}, -1, std::chrono::milliseconds(100));
    answer();
    while (const std::optional<LinkChange> change = watch.next()) {
      if (change->state == LinkState::kRefused) return {};
      if (change->state == LinkState::kUp)
        return unexpected(
            ErrorCode::kInternal,
            "the door is open: " + endpoint + " let in a random key; this build of libzmq must not be used");
    }
  }
  return unexpected(ErrorCode::kInternal, "cannot tell whether the door is shut: " + endpoint +
                                              " neither refused nor took a random key in 5 s");
}

}  // namespace covey
