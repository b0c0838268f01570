#include "client/client.h"

#include <type_traits>
#include <utility>
#include <variant>

#include "client/key_book.h"
#include "client/outbox.h"
#include "client/participation.h"
#include "client/presence.h"
#include "client/tenure.h"
#include "client/vouched.h"

namespace covey {

namespace {

constexpr std::size_t kHeldMax = 64;  // messages of a coordinator whose epoch is on its way to the disk

}  // namespace

class Client::State {
 public:
  explicit State(ClientConfig config)
      : config_(std::move(config)), out_(config_.coordinator), presence_(config_, out_), tenure_(config_, out_), keys_(config_, out_), vouched_(config_, out_), participation_(config_, out_, presence_, vouched_) {}
  State(const State&) = delete;  // the parts point at each other
  State& operator=(const State&) = delete;

  Result<void> load(const std::vector<Row>& rows) {
    for (const Row& row : rows)
      COVEY_TRY_VOID(row.key == client::Presence::kRow  ? presence_.load(row)
                     : row.key == client::Tenure::kRow  ? tenure_.load(row)
                     : row.key == client::KeyBook::kRow ? keys_.load(row)
                     : client::Vouched::holds(row)      ? vouched_.load(row)
                                                        : participation_.load(row));
    return participation_.loaded();
  }

  bool stands(Instant now) const { return tenure_.stands(now); }

  Commands handle(const Event& event, Instant now) {
    if (presence_.halted()) return {};
    if (std::holds_alternative<Started>(event) || std::holds_alternative<ShutdownRequested>(event) || presence_.started())
      std::visit([&](const auto& e) { on(e, now); }, event);
    else
      ignored("came before the start");
    return out_.take();
  }

 private:
  void on(const Started&, Instant now) {
    if (presence_.started()) return ignored("a second start");
    tenure_.start(now);
    participation_.start();
    presence_.start();
  }
  void on(const ShutdownRequested&, Instant) {
    participation_.stop();
    presence_.stop();
  }
  void on(const TimerFired& event, Instant now) {
    if (!presence_.on_timer(event.name, now) && !tenure_.on_timer(event.name, now) && !participation_.on_timer(event.name, presence_.joined()))
      ignored("unknown timer " + event.name);
  }
  void on(const Persisted& event, Instant now) {
    if (presence_.on(event, now)) {
      participation_.rejoined();
      for (const Message& held : std::exchange(held_, {})) std::visit([&](const auto& message) { receive(message, now); }, held);
      return;
    }
    if (!tenure_.on(event) && !keys_.on(event) && !vouched_.on(event)) participation_.on(event);
  }
  void on(const BlobFetched& event, Instant now) { participation_.on(event, now); }
  void on(const BlobFailed& event, Instant) { participation_.on(event); }
  void on(const WorkDone& event, Instant now) { participation_.on(event, now); }
  void on(const WorkFailed& event, Instant) { participation_.on(event); }

  void on(const Received& event, Instant now) {
    if (event.from != config_.coordinator)
      return ignored(std::string(name_of(event.message)) + " from another than the coordinator");
    std::visit([&](const auto& message) { receive(message, now); }, event.message);
  }

  void receive(const JoinAccepted& message, Instant now) {
    held_.clear();
    if (const auto refused = presence_.foreign(message)) return receive(*refused, now);
    if (presence_.on(message, now)) participation_.rejoined();
  }
  void receive(const JoinRefused& message, Instant now) {
    if (message.ended != Instant{} && tenure_.stands(now)) return presence_.disputed(message, tenure_.end(), now);
    if (presence_.refused_for_good(message)) participation_.stop();
    presence_.on(message);
  }
  void receive(const MembershipRenewed& message, Instant) { tenure_.on(message); }
  void receive(const KeyChanged& message, Instant) { keys_.on(message); }
  void receive(const CredentialIssued& message, Instant) { vouched_.on(message); }
  void receive(const CredentialsWithdrawn& message, Instant) {
    vouched_.on(message);
    participation_.on(message);
  }
  void receive(const HeartbeatAck& message, Instant now) { presence_.on(message, now); }
  void receive(const Ping& message, Instant) { presence_.on(message); }
  void receive(const RejoinRequired& message, Instant) {
    held_.clear();
    if (presence_.on(message)) participation_.coordinator_restarted();
  }
  void receive(const RoundOffer& message, Instant now) {
    if (heeded(message)) participation_.on(message, now);
  }
  void receive(const UpdateAccepted& message, Instant) {
    if (heeded(message)) participation_.on(message);
  }
  void receive(const UpdateRefused& message, Instant) {
    if (heeded(message)) participation_.on(message);
  }
  void receive(const RoundClosed& message, Instant) {
    if (heeded(message)) participation_.on(message);
  }
  void receive(const SecAggNote& message, Instant now) {
    if (heeded(message)) participation_.on(message, now);
  }
  void receive(const SecAggLetter& message, Instant now) {
    if (heeded(message)) participation_.on(message, now);
  }
  template <class Other>
  void receive(const Other& message, Instant) {
    ignored(std::string(name_of(Message(message))) + " is not for clients");
  }

  // What a coordinator says of a round counts only once its epoch is known, and is held while that is written: one
  // that has just started has much to say right behind its answer, and the next may not live to say it again.
  template <class M>
  bool heeded(const M& message) {
    if (presence_.joined()) return true;
    if (presence_.saving() && held_.size() < kHeldMax) {
      held_.emplace_back(message);
      return false;
    }
    ignored(std::string(name_of(Message(message))) + " from a coordinator that this client has not joined");
    return false;
  }

  void ignored(std::string reason) {
    out_.log(LogLevel::kWarning, "event_ignored", {{"reason", std::move(reason)}});
  }

  ClientConfig config_;
  client::ClientOutbox out_;
  client::Presence presence_;
  client::Tenure tenure_;
  client::KeyBook keys_;
  client::Vouched vouched_;
  client::Participation participation_;
  std::vector<Message> held_;
};

Result<std::unique_ptr<Client>> Client::create(ClientConfig config, const std::vector<Row>& rows) {
  if (config.rejoin_min <= Duration::zero() || config.rejoin_max < config.rejoin_min)
    return unexpected(ErrorCode::kInvalidArgument,
                      "rejoin_min = " + std::to_string(seconds(config.rejoin_min)) + " s, rejoin_max = " +
                          std::to_string(seconds(config.rejoin_max)) + " s: must be positive and in order");
  if (config.signing && config.certificate && config.signing->public_key() != config.certificate->signing)
    return unexpected(ErrorCode::kInvalidArgument, "the signing key is not the one in this node's certificate (" +
                                                       short_hex(config.certificate->signing) + "); its folder is mixed up");
  config.secure.authority = config.authority;
  auto state = std::make_unique<State>(std::move(config));
  COVEY_TRY_VOID(state->load(rows));
  return std::unique_ptr<Client>(new Client(std::move(state)));
}

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::~Client() = default;

bool Client::membership_stands(Instant now) const { return state_->stands(now); }
Commands Client::handle(const Event& event, Instant now) { return state_->handle(event, now); }

Result<std::vector<Digest>> referenced_blobs(const std::vector<Row>& rows) {
  client::ClientOutbox unused{Link{}};
  client::UpdateShelf shelf(unused);
  client::ModelCache cache(unused);
  for (const Row& row : rows) {
    if (client::UpdateShelf::holds(row)) COVEY_TRY_VOID(shelf.load(row));
    if (row.key == client::ModelCache::kRow) COVEY_TRY_VOID(cache.load(row));
  }
  std::vector<Digest> blobs = shelf.blobs();
  blobs.insert(blobs.end(), cache.held().begin(), cache.held().end());
  return blobs;
}

}  // namespace covey
