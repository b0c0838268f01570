#include "bench/load/swarm.h"

#include <sys/epoll.h>
#include <sys/mman.h>
#include <zmq.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <new>
#include <stdexcept>

#include "bench/load/estate.h"
#include "client/client.h"
#include "core/base/log.h"
#include "core/service/file_limit.h"
#include "net/dial_transport.h"

namespace covey::load {
namespace {

constexpr std::size_t kDialsAtOnce = 16;
constexpr int kTurnMs = 10;  // clients whose timers are due are looked for so often

// Of ZeroMQ: readable when a socket may have something new.
int descriptor_of(const ZmqSocket& socket) {
  int descriptor = -1;
  std::size_t size = sizeof descriptor;
  COVEY_CHECK(zmq_getsockopt(socket.handle(), ZMQ_FD, &descriptor, &size) == 0);
  return descriptor;
}

// One client: its machine, its transport, its timers.
class Member {
 public:
  Member(const CoordinatorAddress& address, std::size_t number, ZmqContext& context, Clock& clock, SwarmMember& told)
      : key_(key_of_node(number)), clock_(clock), told_(told), link_{address.curve, 1} {
    ClientConfig config;
    config.coordinator = link_;
    config.capability = capability_of_nodes();
    config.policy.plain_updates = true;  // as its jobs ask for
    SystemRandom random;
    random.fill({reinterpret_cast<std::uint8_t*>(&config.instance), sizeof config.instance});
    instance_ = config.instance;
    client_ = Client::create(config, {}).value();
    auto dialled = DialTransport::dial({address}, key_, clock, log_, &context);
    if (!dialled) throw std::runtime_error(dialled.error().message);
    transport_ = *std::move(dialled);
    carry_out(Started{});
  }
  // After this nothing is left to read; what comes later makes a descriptor readable.
  void turn() {
    while (receive()) {
    }
    reckon();  // a link that came up brings no message, and what waited for it is due
    const Instant now = clock_.now();
    if (due_ > now) return;
    transport_->tick(now);
    while (fire(now)) {
    }
    while (receive()) {  // sending may have taken the sign that something came
    }
    reckon();
  }
  bool due(Instant now) const { return due_ <= now; }
  std::vector<const ZmqSocket*> sockets() const { return transport_->sockets(); }
  void ask() {
    transport_->send(link_, Heartbeat{instance_});
    turn();
  }

 private:
  bool receive() {
    std::vector<Incoming> messages = transport_->receive();
    for (Incoming& incoming : messages) {
      const bool accepted = std::holds_alternative<JoinAccepted>(incoming.message);
      if (std::holds_alternative<JoinRefused>(incoming.message)) ++told_.refused;
      if (std::holds_alternative<HeartbeatAck>(incoming.message)) told_.answered = now_seconds();
      carry_out(Received{incoming.from, std::move(incoming.message)});
      if (!accepted) continue;
      told_.joined = now_seconds();
      ++told_.joins;
    }
    if (!messages.empty()) reckon();
    return !messages.empty();
  }
  bool fire(Instant now) {
    const auto at = std::find_if(timers_.begin(), timers_.end(), [&](const auto& timer) { return timer.second <= now; });
    if (at == timers_.end()) return false;
    const std::string name = at->first;
    timers_.erase(at);
    carry_out(TimerFired{name});
    return true;
  }
  void carry_out(const Event& event) {
    for (Command& command : client_->handle(event, clock_.now())) {
      if (auto* send = std::get_if<Send>(&command)) transport_->send(send->to, send->message);
      if (auto* timer = std::get_if<SetTimer>(&command)) timers_[timer->name] = clock_.now() + timer->after;
      if (auto* timer = std::get_if<CancelTimer>(&command)) timers_.erase(timer->name);
      if (std::holds_alternative<Halt>(command)) timers_.clear();
    }
    reckon();
  }
  void reckon() {
    due_ = transport_->next_tick();
    for (const auto& [name, due] : timers_) due_ = std::min(due_, due);
  }

  CurveKey key_;
  Clock& clock_;
  NullLog log_;
  SwarmMember& told_;
  Link link_;
  std::uint64_t instance_ = 0;
  std::unique_ptr<Client> client_;
  std::unique_ptr<DialTransport> transport_;
  std::map<std::string, Instant> timers_;
  Instant due_;
};

}  // namespace

struct Swarm::Shared {
  std::atomic<int> dial{0};
  std::atomic<int> asks{0};
  SwarmMember members[1];  // as many as there are
};

Swarm::Swarm(const CoordinatorAddress& address, std::size_t first, std::size_t members, std::size_t processes)
    : members_count_(members), bytes_(sizeof(Shared) + members * sizeof(SwarmMember)) {
  void* const memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::runtime_error("no shared memory");
  shared_ = static_cast<Shared*>(memory);  // zeros: every atomic's start
  for (std::size_t p = 0; p < processes; ++p) {
    const std::size_t from = members * p / processes, to = members * (p + 1) / processes;
    processes_.emplace_back([&, from, to] { return live(address, first, from, to); });
  }
}

Swarm::~Swarm() {
  processes_.clear();
  ::munmap(shared_, bytes_);
}

int Swarm::live(const CoordinatorAddress& address, std::size_t first, std::size_t from, std::size_t to) {
  raise_file_limit();
  SystemClock clock;
  ZmqContext context(1, static_cast<int>(4 * (to - from) + 64));
  while (shared_->dial.load() == 0) pause_seconds(0.002);
  const int poll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<std::unique_ptr<Member>> members;
  std::array<epoll_event, 512> ready;
  double looked = 0;
  for (int asked = 0;;) {
    for (std::size_t i = 0; i < kDialsAtOnce && from + members.size() < to; ++i) {
      const std::size_t number = from + members.size();
      members.push_back(std::make_unique<Member>(address, first + number, context, clock, shared_->members[number]));
      for (const ZmqSocket* socket : members.back()->sockets()) {
        epoll_event event{EPOLLIN, {.ptr = members.back().get()}};
        COVEY_CHECK(::epoll_ctl(poll, EPOLL_CTL_ADD, descriptor_of(*socket), &event) == 0);
      }
      members.back()->turn();
    }
    const int patience = from + members.size() < to ? 0 : kTurnMs;
    const int count = ::epoll_wait(poll, ready.data(), static_cast<int>(ready.size()), patience);
    for (int i = 0; i < count; ++i) static_cast<Member*>(ready[static_cast<std::size_t>(i)].data.ptr)->turn();
    if (now_seconds() - looked < kTurnMs / 1000.0) continue;
    looked = now_seconds();
    const Instant now = clock.now();
    for (const auto& member : members)
      if (member->due(now)) member->turn();
    if (const int asks = shared_->asks.load(); asks != asked) {
      asked = asks;
      for (const auto& member : members) member->ask();
    }
  }
}

void Swarm::dial() { shared_->dial = 1; }
void Swarm::ask_all() { ++shared_->asks; }

std::size_t Swarm::joined_since(double moment) const {
  return static_cast<std::size_t>(std::count_if(shared_->members, shared_->members + members_count_,
                                                [&](const SwarmMember& m) { return m.joined > moment; }));
}

std::size_t Swarm::answered_since(double moment) const {
  return static_cast<std::size_t>(std::count_if(shared_->members, shared_->members + members_count_,
                                                [&](const SwarmMember& m) { return m.answered > moment; }));
}

double Swarm::await_joined(double moment, std::size_t count, double seconds) const {
  while (joined_since(moment) < count) {
    if (now_seconds() - moment > seconds) return -1;
    pause_seconds(0.01);
  }
  return now_seconds() - moment;
}

double Swarm::await_answered(double moment, std::size_t count, double seconds) const {
  while (answered_since(moment) < count) {
    if (now_seconds() - moment > seconds) return -1;
    pause_seconds(0.005);
  }
  return now_seconds() - moment;
}

std::vector<double> Swarm::join_times(double moment) const {
  std::vector<double> times;
  for (std::size_t i = 0; i < members_count_; ++i)
    if (shared_->members[i].joined > moment) times.push_back(shared_->members[i].joined - moment);
  std::sort(times.begin(), times.end());
  return times;
}

}  // namespace covey::load
