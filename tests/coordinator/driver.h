// Runs a Coordinator by hand: executes its commands against memory, keeps what it sends, and fires
// its timers when a test moves the time. What a test withholds (Persisted, fetches, work) happens
// when it says so.
#pragma once
#include <doctest/doctest.h>

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "coordinator/coordinator.h"
#include "coordinator/work.h"
#include "core/protocol/limits.h"
#include "core/protocol/manifest.h"
#include "core/store/blobs.h"
#include "core/store/store.h"

namespace covey {

inline const Instant kStart = instant_of_nanos(1'700'000'000'000'000'000);

template <class Key>
Key key_of(std::uint8_t a, std::uint8_t b) {
  std::array<std::uint8_t, 32> seed{};
  seed[0] = static_cast<std::uint8_t>(a * 8);  // X25519 ignores the lowest three bits
  seed[1] = b;
  if constexpr (std::is_same_v<Key, SigningKey>)
    return SigningKey::from_seed(Secret<32>(seed));
  else
    return CurveKey::from_secret(Secret<32>(seed));
}

// One node's identity, made from a number.
struct Identity {
  Certificate certificate;
  Delegation delegation;
  PeerKey key() const { return certificate.curve; }
  Link link(std::uint64_t session = 1) const { return {key(), session}; }
  Link one_time() const { return {delegation.one_time_curve, 1}; }
};
inline SigningKey authority() { return key_of<SigningKey>(20, 0); }
inline Identity identity(std::uint8_t n, std::string name, Role role = Role::kClient,
                         Instant expires = kStart + std::chrono::hours(24),
                         Instant members_until = kStart + kMembershipDefault) {
  Identity id;
  const SigningKey one_time = key_of<SigningKey>(2, n);
  id.delegation.token.bytes[0] = n;
  id.delegation.role = role;
  id.delegation.expires = expires;
  id.delegation.members_until = members_until;
  id.delegation.one_time_curve = key_of<CurveKey>(1, n).public_key();
  id.delegation.one_time_signing = one_time.public_key();
  sign(id.delegation, authority());
  id.certificate.name = std::move(name);
  id.certificate.signing = key_of<SigningKey>(3, n).public_key();
  id.certificate.curve = key_of<CurveKey>(4, n).public_key();
  id.certificate.delegation = id.delegation;
  sign(id.certificate, one_time);
  return id;
}
inline Identity boss() {
  return identity(250, "boss", Role::kOperator, kStart + std::chrono::hours(24), kStart + kMembershipMax);
}
inline Renewal renewal_of(const Identity& id, Instant until, std::uint64_t serial, const SigningKey& by = authority()) {
  Renewal renewal{id.certificate.curve, id.certificate.signing, until, serial, {}};
  sign(renewal, by);
  return renewal;
}

// With plain updates, where `more` has no [privacy] of its own.
inline std::string job_text(const std::string& more = "", std::uint32_t rounds = 2) {
  const bool says = more.find("[privacy]") != std::string::npos;
  return "name = \"line\"\nrounds = " + std::to_string(rounds) +
         "\n[model]\nfamily = \"logistic\"\ninputs = 3\nclasses = 2\n[data]\nformat = \"idx\"\n" + more +
         (says ? "" : "\n[privacy]\nsecure_aggregation = false\n");
}

enum class Crash { kBeforeWrites, kAfterWrites };  // of the commands of one event

class Driver {
 public:
  explicit Driver(std::uint8_t clients = 0, std::uint32_t jobs_running_max = 1) {
    config_.authority = authority().public_key();
    config_.record_key = std::make_shared<const SigningKey>(key_of<SigningKey>(21, 0));
    config_.jobs_running_max = jobs_running_max;
    config_.operators.push_back(boss().certificate);
    for (std::uint8_t n = 0; n < clients; ++n) {
      clients_.push_back(identity(n, "client-" + std::to_string(n)));
      config_.operators.push_back(clients_.back().certificate);
    }
    start();
  }
  CoordinatorConfig& config() { return config_; }
  const Identity& client(std::size_t n) const { return clients_.at(n); }

  // ---- running
  void start() {
    auto machine = Coordinator::create(config_, store.scan("").value());
    REQUIRE_MESSAGE(machine, machine.error().message);
    machine_ = std::move(*machine);
    deliver(Started{});
  }
  void crash() {  // everything that is not durable is gone
    machine_.reset();
    executor.forget_all();
    events.clear();
    withheld.clear();
    timers.clear();
    admitted.clear();
    published.clear();
    published_to.clear();
  }
  void restart() {
    crash();
    start();
  }
  // One event and what follows from it.
  void deliver(const Event& event) {
    events.push_back(event);
    settle();
  }
  void settle() {
    while (!events.empty() && machine_) {
      const Event event = events.front();
      events.pop_front();
      handle(event);
    }
  }
  void from(const Link& link, Message message) { deliver(Received{link, std::move(message)}); }
  void from(const Identity& id, Message message) { from(id.link(), std::move(message)); }
  // Moves the time on, firing timers in order.
  void advance(Duration by) {
    const Instant until = now + by;
    while (machine_) {
      auto next = timers.end();
      for (auto at = timers.begin(); at != timers.end(); ++at)
        if (at->second <= until && (next == timers.end() || at->second < next->second)) next = at;
      if (next == timers.end()) break;
      now = std::max(now, next->second);
      const std::string name = next->first;
      timers.erase(next);
      deliver(TimerFired{name});
    }
    now = until;
  }
  void release_writes() {  // the disk catches up
    auto waiting = std::exchange(withheld, {});
    withhold_writes = false;
    for (const Persist& write : waiting) {
      REQUIRE(store.write(write.batch));
      events.push_back(Persisted{write.ticket});
    }
    settle();
  }

  // ---- what a test says
  void join(const Identity& id, std::uint64_t instance = 1, std::uint64_t session = 1) {
    from(id.link(session), Join{kProtocolVersion, instance, Capability{"cpu", 4, std::uint64_t{1} << 30, 10}});
  }
  void join_all() {
    for (const Identity& id : clients_) join(id);
  }
  OperatorAnswer ask(OperatorVerb verb) {
    const std::uint64_t id = ++requests_;
    from(boss(), OperatorRequest{id, std::move(verb)});
    for (auto at = sent.rbegin(); at != sent.rend(); ++at)
      if (const auto* reply = std::get_if<OperatorReply>(&at->message); reply != nullptr && reply->id == id)
        return reply->answer;
    return Error{ErrorCode::kInternal, "no answer yet"};
  }
  BlobRef lay_out(const PeerKey& peer, const Bytes& value) {  // a blob that `peer` serves
    const BlobRef blob = blob_ref_of(value);
    served[peer][blob.id] = value;
    return blob;
  }
  OperatorAnswer submit(const std::string& toml, std::uint64_t nonce = 1) {
    return ask(SubmitJob{nonce, lay_out(boss().key(), Bytes(toml.begin(), toml.end()))});
  }
  JobSummary job(JobId id = 1) { return std::get<JobDetail>(ask(ShowJob{id, 0})).summary; }

  // ---- what a client does
  std::vector<float> update_of(const PeerKey& peer, std::uint32_t round) const {
    std::vector<float> update(8);
    for (std::size_t i = 0; i < update.size(); ++i)
      update[i] = 0.01F * static_cast<float>(i + 1) + 0.1F * static_cast<float>(peer.bytes[0]) / 256.0F +
                  static_cast<float>(round);
    return update;
  }
  UpdateReady ready(const Identity& id, const RoundOffer& offer) {
    UpdateReady ready;
    ready.key = offer.key;
    ready.model = offer.model.id;
    if (offer.kind == RoundKind::kTrain)
      ready.update = lay_out(id.key(), bytes_of_floats(update_of(id.key(), offer.key.round)));
    ready.examples = 10;
    ready.train = {6, 12, 3, 1.5};
    ready.evaluation = {4, 8, 2};
    return ready;
  }
  void deliver_update(const Identity& id) { from(id, ready(id, offer_to(id).value())); }
  std::optional<RoundOffer> offer_to(const Identity& id) const { return last<RoundOffer>(id.key()); }

  // ---- what the machine did
  template <class M>
  std::vector<M> all(const PeerKey& to) const {
    std::vector<M> found;
    for (const Send& send : sent)
      if (const M* message = std::get_if<M>(&send.message); message != nullptr && send.to.peer == to) found.push_back(*message);
    return found;
  }
  template <class M>
  std::optional<M> last(const PeerKey& to) const {
    const auto found = all<M>(to);
    return found.empty() ? std::nullopt : std::optional<M>(found.back());
  }
  template <class M>
  std::size_t count() const {
    std::size_t n = 0;
    for (const Send& send : sent) n += std::holds_alternative<M>(send.message);
    return n;
  }
  std::size_t logged(const std::string& event) const {
    std::size_t n = 0;
    for (const LogEntry& entry : log) n += entry.event == event;
    return n;
  }
  std::vector<float> latest_model(JobId id = 1) { return read_model(blobs, job(id).model.id).value().parameters; }

  MemoryStore store;
  MemoryBlobs blobs;
  Instant now = kStart;
  std::deque<Event> events;
  std::vector<Send> sent;
  std::vector<LogEntry> log;
  std::map<std::string, Instant> timers;
  std::map<PeerKey, Admission> admitted;
  std::map<PeerKey, Expulsion> expelled;  // the last word to each
  std::set<Digest> published;
  std::map<PeerKey, KeyPlace> serving;          // further keys
  std::set<std::uint16_t> taken_ports;
  std::function<Result<KeyRotated>(const RotateKey&)> keys;
  std::map<PeerKey, std::set<Digest>> published_to;
  std::map<PeerKey, std::map<Digest, Bytes>> served;
  CoordinatorWork executor;
  std::vector<StartWork> held_work;       // with hold_work
  std::vector<FetchBlob> held_fetches;    // with hold_fetches
  std::set<Digest> parts;                 // what is kept of those that were cancelled
  std::size_t resumed = 0;                // held fetches of what was kept
  std::vector<Persist> withheld;          // with withhold_writes
  bool withhold_writes = false, hold_work = false, hold_fetches = false;
  std::uint64_t handled = 0;              // events so far
  std::optional<std::uint64_t> crash_at;  // the event number after which to crash
  std::uint64_t writes = 0;                     // so far
  std::optional<std::uint64_t> crash_at_write;  // the number of the write at which to crash
  Crash crash_how = Crash::kAfterWrites;        // whether what it wrote last survives
  std::optional<Halt> halted;

  bool alive() const { return machine_ != nullptr; }
  void finish_work(const StartWork& start) {
    const auto value = work(start.work);
    if (value)
      deliver(WorkDone{start.ticket, *value});
    else
      deliver(WorkFailed{start.ticket, value.error()});
  }

 private:
  void handle(const Event& event) {
    const Commands commands = machine_->handle(event, now);
    if (++handled != crash_at) {
      for (const Command& command : commands) {
        const auto* persist = std::get_if<Persist>(&command);
        if (persist != nullptr && ++writes == crash_at_write) {
          if (crash_how == Crash::kAfterWrites) REQUIRE(store.write(persist->batch));
          return crash();
        }
        std::visit([&](const auto& c) { execute(c); }, command);
      }
      return;
    }
    if (crash_how == Crash::kAfterWrites)
      for (const Command& command : commands)
        if (const auto* persist = std::get_if<Persist>(&command)) REQUIRE(store.write(persist->batch));
    crash();
  }
  Result<WorkValue> work(const Work& work) {
    if (const auto* init = std::get_if<InitModel>(&work)) {
      const std::vector<float> zeros(static_cast<std::size_t>(parameter_table(init->job.model).size));
      COVEY_TRY([[maybe_unused]] const BlobRef config, blobs.put(bytes_of(public_toml(init->job))));
      COVEY_TRY(const BlobRef model, write_model(blobs, init->job.model, 0, zeros));
      return WorkValue(ModelReady{model});
    }
    if (std::holds_alternative<ReadChain>(work))
      return coordinator_work(work, blobs, [this](std::string_view key) { return store.get(key); });
    if (const auto* rotate = std::get_if<RotateKey>(&work); rotate != nullptr && keys) {
      COVEY_TRY(const KeyRotated rotated, keys(*rotate));
      return WorkValue(rotated);
    }
    return executor.compute(work, blobs);
  }
  void execute(const Send& command) { sent.push_back(command); }
  void execute(const SetTimer& command) { timers[command.name] = now + command.after; }
  void execute(const CancelTimer& command) { timers.erase(command.name); }
  void execute(const Persist& command) {
    if (withhold_writes) return withheld.push_back(command);
    REQUIRE(store.write(command.batch));
    events.push_back(Persisted{command.ticket});
  }
  void execute(const FetchBlob& command) {
    if (hold_fetches && command.from != PeerKey{}) {
      resumed += parts.erase(command.blob.id);
      return held_fetches.push_back(command);
    }
    if (!blobs.has(command.blob.id)) {
      const auto& here = served[command.from];
      const auto at = here.find(command.blob.id);
      if (at == here.end()) {
        events.push_back(BlobFailed{command.ticket, Error{ErrorCode::kUnavailable, "the peer does not serve it"}});
        return;
      }
      REQUIRE(blobs.put(at->second));
    }
    Bytes content = blobs.get(command.blob.id).value();
    if (content.size() > command.content_bytes_max) content.clear();
    events.push_back(BlobFetched{command.ticket, command.blob, std::move(content)});
  }
  void execute(const CancelFetch& command) {
    for (const FetchBlob& fetch : held_fetches)
      if (fetch.ticket == command.ticket && command.unfinished == Unfinished::kKeep) parts.insert(fetch.blob.id);
    std::erase_if(held_fetches, [&](const FetchBlob& fetch) { return fetch.ticket == command.ticket; });
  }
  void execute(const PublishBlob& command) {
    CHECK(blobs.has(command.blob));
    if (command.to) {  // a letter
      published_to[*command.to].insert(command.blob);
      return;
    }
    published.insert(command.blob);
  }
  void execute(const WithdrawBlob& command) {
    published.erase(command.blob);
    for (auto& [peer, letters] : published_to) letters.erase(command.blob);
  }
  void execute(const EraseBlob& command) {
    parts.erase(command.blob);
    REQUIRE(blobs.erase(command.blob));
  }
  void execute(const StartWork& command) {
    if (hold_work) return held_work.push_back(command);
    const auto value = work(command.work);
    if (value)
      events.push_back(WorkDone{command.ticket, *value});
    else
      events.push_back(WorkFailed{command.ticket, value.error()});
  }
  void execute(const CancelWork& command) {
    std::erase_if(held_work, [&](const StartWork& start) { return start.ticket == command.ticket; });
  }
  void execute(const AdmitPeer& command) { admitted[command.peer] = command.admission; }
  void execute(const ExpelPeer& command) {
    admitted.erase(command.peer);
    expelled[command.peer] = command.why;
  }
  void execute(const ServeKey& command) {
    if (taken_ports.contains(command.place.control_port)) {
      events.push_back(WorkFailed{command.ticket, Error{ErrorCode::kUnavailable, "cannot listen: taken"}});
      return;
    }
    serving[command.place.key] = command.place;
    events.push_back(WorkDone{command.ticket, KeyRotated{command.place.key}});
  }
  void execute(const DropKey& command) { serving.erase(command.key); }
  void execute(const FollowKey&) { FAIL("a client's command"); }
  void execute(const WriteLog& command) { log.push_back(command.entry); }
  void execute(const Halt& command) { halted = command; }

  CoordinatorConfig config_;
  std::vector<Identity> clients_;
  std::unique_ptr<Coordinator> machine_;
  std::uint64_t requests_ = 0;
};

}  // namespace covey
