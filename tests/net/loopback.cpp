#include "tests/net/loopback.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zmq.h>

#include "core/base/random.h"
#include "core/base/secure_random.h"
#include "net/codec.h"
#include "tests/net/message_samples.h"

namespace covey::loopback {
namespace {

struct EventName {
  std::string operator()(const Started&) const { return "started"; }
  std::string operator()(const Received&) const { return "received"; }
  std::string operator()(const TimerFired&) const { return "timer"; }
  std::string operator()(const Persisted&) const { return "persisted"; }
  std::string operator()(const BlobFetched&) const { return "blob_fetched"; }
  std::string operator()(const BlobFailed&) const { return "blob_failed"; }
  std::string operator()(const WorkDone&) const { return "work_done"; }
  std::string operator()(const WorkFailed&) const { return "work_failed"; }
  std::string operator()(const ShutdownRequested&) const { return "shutdown"; }
};

}  // namespace

Handler echo_machine() {
  return [](const Event& event) -> Commands {
    const auto* received = std::get_if<Received>(&event);
    return received == nullptr ? Commands{} : Commands{Send{received->from, received->message}};
  };
}

CurveKey random_key() {
  SystemRandom random;
  return CurveKey::generate(random);
}

Bytes bytes_of_size(std::size_t size, std::uint64_t seed) {
  Random random(seed);
  Bytes bytes(size);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random.next());
  return bytes;
}

Enrol enrol_message() { return std::get<Enrol>(message_samples().front()); }

Bytes encode(const Message& message) { return encode_frame(message); }

std::uint16_t free_port() {
  const int descriptor = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  REQUIRE(::bind(descriptor, reinterpret_cast<const sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(descriptor, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(descriptor);
  return ntohs(address.sin_port);
}

// ---- log
void CollectingLog::write(const LogEntry& entry) {
  std::string line = entry.event;
  for (const LogField& field : entry.fields)
    if (const auto* text = std::get_if<std::string>(&field.value)) line += " " + field.name + "=" + *text;
  monitor_.change([&] { text_ += line + "\n"; });
}

void CollectingLog::wait_for(const std::string& event) {
  const bool came = monitor_.wait([&] { return text_.find(event) != std::string::npos; });
  if (!came) FAIL("no log entry " << event << " in:\n" << text());
}

std::string CollectingLog::text() {
  std::string copy;
  monitor_.change([&] { copy = text_; });
  return copy;
}

// ---- executor
void PoolExecutor::persist(Persist command, Completion done) {
  pool_.submit([this, ticket = command.ticket, done = std::move(done)] {
    if (fail_writes)
      done(WorkFailed{ticket, {ErrorCode::kResourceExhausted, "disk full"}});
    else
      done(Persisted{ticket});
  });
}

void PoolExecutor::start(StartWork command, Completion done) {
  if (command.ticket == RecordingMachine::kPoke) {
    const std::lock_guard lock(mutex_);
    poke_ = std::move(done);
    if (poked_early_) poke_(WorkDone{RecordingMachine::kPoke, UpdateChecked{}});
    return;
  }
  pool_.submit([ticket = command.ticket, done = std::move(done)] {
    done(WorkDone{ticket, UpdateChecked{1.5}});
  });
}

void PoolExecutor::poke() {
  const std::lock_guard lock(mutex_);
  poked_early_ = !poke_;
  if (poke_) poke_(WorkDone{RecordingMachine::kPoke, UpdateChecked{}});
}

// ---- machine
Commands RecordingMachine::handle(const Event& event, Instant) {
  const auto* done = std::get_if<WorkDone>(&event);
  if (done != nullptr && done->ticket == kPoke) {
    Commands commands;
    monitor_.change([&] { commands = std::exchange(added_, {}); });
    return commands;
  }
  Commands commands = handler_(event);
  if (std::holds_alternative<Started>(event)) {
    commands.insert(commands.begin(), at_start.begin(), at_start.end());
    commands.push_back(StartWork{kPoke, CheckUpdate{}});
  }
  monitor_.change([&] {
    events_.push_back(std::visit(EventName{}, event));
    if (const auto* received = std::get_if<Received>(&event)) {
      ++received_;
      connections_[received->from.session] = received->from.peer;
    }
  });
  return commands;
}

void RecordingMachine::add(Command command) {
  monitor_.change([&] { added_.push_back(std::move(command)); });
}

bool RecordingMachine::wait_until_carried_out() {
  return monitor_.wait([&] { return added_.empty(); });
}

std::vector<std::string> RecordingMachine::events() {
  std::vector<std::string> copy;
  monitor_.change([&] { copy = events_; });
  return copy;
}

std::map<std::uint64_t, PeerKey> RecordingMachine::connections() {
  std::map<std::uint64_t, PeerKey> copy;
  monitor_.change([&] { copy = connections_; });
  return copy;
}

std::size_t RecordingMachine::received() {
  std::size_t copy = 0;
  monitor_.change([&] { copy = received_; });
  return copy;
}

bool RecordingMachine::wait_for(const std::string& event) {
  return monitor_.wait([&] { return std::find(events_.begin(), events_.end(), event) != events_.end(); });
}

// ---- sides
void Side::start() {
  thread_ = std::thread([this] { end_ = reactor->run(); });
}

Result<int> Side::run_result() {
  start();
  thread_.join();
  return *end_;
}

int Side::join() {
  thread_.join();
  return end_->value();
}

int Side::finish() {
  if (!thread_.joinable()) return 0;
  reactor->request_shutdown();
  reactor->request_shutdown();
  return join();
}

void Side::wait_for(const std::string& event) {
  if (!machine.wait_for(event)) fail_now(event);
}

void Side::fail_now(const std::string& what) {
  std::string events_text;
  for (const std::string& event : events()) events_text += " " + event;
  FAIL("waited 20 s for " << what << "; had" << events_text << "; log:\n" << log.text());
}

Listener::Listener(Handler handler) : Side(std::move(handler)) { open(); }

Listener::Listener(Handler handler, ListenConfig settings) : Side(std::move(handler)), config(std::move(settings)) {
  open();
}

Listener::Listener(Handler handler, Listener& stopped, Commands first) : Side(std::move(handler)) {
  config = stopped.config;
  identity = CurveKey::from_secret(stopped.identity.secret().clone());
  machine.at_start = std::move(first);
  open();
}

void Listener::open() {
  Result<std::unique_ptr<Reactor>> made = make_listener(config, parts());
  if (!made) FAIL(made.error().message);
  reactor = *std::move(made);
  config.control_port = reactor->control_port();
  config.bulk_port = reactor->bulk_port();
  Side::start();
  wait_for("started");
}

void Listener::stop() {
  finish();
  reactor.reset();
}

DialConfig Listener::address() const {
  return {{"127.0.0.1", reactor->control_port(), reactor->bulk_port(), key(), VerifyKey{}, VerifyKey{}}};
}

void Listener::command(Command command) {
  machine.add(std::move(command));
  executor.poke();
  if (!machine.wait_until_carried_out()) FAIL("the reactor does not run");
}

void Dialer::start() {
  Result<std::unique_ptr<Reactor>> made = make_dialer(config_.value_or(coordinator_.address()), parts());
  if (!made) FAIL(made.error().message);
  reactor = *std::move(made);
  Side::start();
}

// ---- raw peer
constexpr int kSmallBuffer = 16 * 1024;

struct RawPeer::Socket {
  void* context = zmq_ctx_new();
  void* socket = zmq_socket(context, ZMQ_DEALER);
  CurveKey identity = random_key();
  ~Socket() {
    zmq_close(socket);
    zmq_ctx_term(context);
  }
};

RawPeer::RawPeer(Listener& coordinator, const std::string& routing_id, Port port, int queue_max) : socket_(std::make_unique<Socket>()) {
  const auto set = [&](int option, const void* value, std::size_t size) {
    REQUIRE(zmq_setsockopt(socket_->socket, option, value, size) == 0);
  };
  const int none = 0;
  const PeerKey server = coordinator.key();
  const PeerKey own = socket_->identity.public_key();
  set(ZMQ_LINGER, &none, sizeof none);
  if (queue_max > 0) {
    set(ZMQ_RCVHWM, &queue_max, sizeof queue_max);
    set(ZMQ_RCVBUF, &kSmallBuffer, sizeof kSmallBuffer);
  }
  set(ZMQ_CURVE_SERVERKEY, server.bytes.data(), 32);
  set(ZMQ_CURVE_PUBLICKEY, own.bytes.data(), 32);
  set(ZMQ_CURVE_SECRETKEY, socket_->identity.secret().expose().data(), 32);
  if (!routing_id.empty()) set(ZMQ_ROUTING_ID, routing_id.data(), routing_id.size());
  coordinator.admit(own);
  const std::string endpoint = "tcp://127.0.0.1:" + std::to_string(port == Port::kBulk ? coordinator.reactor->bulk_port() : coordinator.reactor->control_port());
  REQUIRE(zmq_connect(socket_->socket, endpoint.c_str()) == 0);
}

RawPeer::~RawPeer() = default;
RawPeer::RawPeer(RawPeer&&) noexcept = default;

void RawPeer::send(const Bytes& frame) {
  REQUIRE(zmq_send(socket_->socket, frame.data(), frame.size(), 0) == static_cast<int>(frame.size()));
}

Bytes RawPeer::receive_within(Duration patience) {
  const int ms = static_cast<int>(patience / 1ms);
  REQUIRE(zmq_setsockopt(socket_->socket, ZMQ_RCVTIMEO, &ms, sizeof ms) == 0);
  Bytes frame(kBulkFrameBytesMax);
  const int size = zmq_recv(socket_->socket, frame.data(), frame.size(), 0);
  frame.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  return frame;
}

PeerKey RawPeer::key() const { return socket_->identity.public_key(); }

}  // namespace covey::loopback
