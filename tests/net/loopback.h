// A coordinator's and a client's reactor on the loopback interface, each on a thread of its own,
// around a machine that is one function.
#pragma once
#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/base/worker_pool.h"
#include "core/protocol/limits.h"
#include "core/store/blobs.h"
#include "net/reactor.h"

namespace covey::loopback {

inline constexpr int kInterrupted = 130;  // what run() gives after a second request to stop

using Handler = std::function<Commands(const Event&)>;

Handler echo_machine();  // sends every message back
CurveKey random_key();
Bytes bytes_of_size(std::size_t size, std::uint64_t seed);
Enrol enrol_message();
Bytes encode(const Message& message);
std::uint16_t free_port();

// Waits at most 20 s for `done`, which is called under the lock; the test fails then.
class Monitor {
 public:
  template <class Change>
  void change(Change apply) {
    {
      const std::lock_guard lock(mutex_);
      apply();
    }
    changed_.notify_all();
  }
  template <class Done>
  bool wait(Done done) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(20), done);
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
};

class CollectingLog final : public Log {
 public:
  void write(const LogEntry& entry) override;
  void wait_for(const std::string& event);
  std::string text();  // every entry's event and fields

 private:
  Monitor monitor_;
  std::string text_;
};

class PoolExecutor final : public Executor {
 public:
  std::atomic<bool> fail_writes{false};
  void persist(Persist command, Completion done) override;
  void start(StartWork command, Completion done) override;
  void cancel(Ticket) override {}
  void poke();  // completes the work of RecordingMachine::kPoke once more

 private:
  std::mutex mutex_;
  Completion poke_;
  bool poked_early_ = false;
  WorkerPool pool_{2};
};

class RecordingMachine final : public Machine {
 public:
  static constexpr Ticket kPoke = 1'000'000;  // work that completes whenever a test has commands to add
  explicit RecordingMachine(Handler handler) : handler_(std::move(handler)) {}
  Commands handle(const Event& event, Instant now) override;

  void add(Command command);  // carried out when the executor is poked
  bool wait_until_carried_out();
  Commands at_start;
  std::vector<std::string> events();
  std::map<std::uint64_t, PeerKey> connections();
  std::size_t received();
  bool wait_for(const std::string& event);
  template <class Done>
  bool wait(Done done) {
    return monitor_.wait(done);
  }

 private:
  Monitor monitor_;
  Handler handler_;
  std::vector<std::string> events_;
  std::map<std::uint64_t, PeerKey> connections_;
  std::size_t received_ = 0;
  Commands added_;
};

// What both sides have.
class Side {
 public:
  explicit Side(Handler handler) : machine(std::move(handler)) {}
  virtual ~Side() { finish(); }
  MemoryBlobs blobs;
  CollectingLog log;
  PoolExecutor executor;
  RecordingMachine machine;
  SystemClock clock;
  CurveKey identity = random_key();
  std::unique_ptr<Reactor> reactor;

  ReactorParts parts() { return {machine, executor, blobs, clock, log, identity}; }
  PeerKey key() const { return identity.public_key(); }
  virtual void start();
  Result<int> run_result();
  int run() { return run_result().value(); }
  int join();    // of start()
  int finish();  // asks twice to stop, and joins
  std::vector<std::string> events() { return machine.events(); }
  std::map<std::uint64_t, PeerKey> connections() { return machine.connections(); }
  std::size_t received() { return machine.received(); }
  void wait_for(const std::string& event);
  template <class Done>
  void wait_until(Done done) {  // `done` is asked again after each event
    if (!machine.wait(done)) fail_now("an event");
  }

 private:
  void fail_now(const std::string& what);
  std::thread thread_;
  std::optional<Result<int>> end_;
};

// Runs at once.
class Listener : public Side {
 public:
  explicit Listener(Handler handler);
  Listener(Handler handler, ListenConfig settings);
  // At the ports and with the key of one that was stopped; `first` are carried out at its start.
  Listener(Handler handler, Listener& stopped, Commands first);
  void stop();
  DialConfig address() const;
  Link link() const { return {key(), 1}; }
  void command(Command command);  // returns when nothing later can come before it
  ListenConfig config{"127.0.0.1", 0, 0};
  void admit(PeerKey peer, Admission admission = Admission::kMember) { command(AdmitPeer{peer, admission}); }

 private:
  void open();
};

// Dials when it is started, so that its key can be admitted before.
class Dialer : public Side {
 public:
  Dialer(Listener& coordinator, Handler handler) : Side(std::move(handler)), coordinator_(coordinator) {}
  Dialer(Listener& coordinator, DialConfig config, Handler handler)
      : Side(std::move(handler)), coordinator_(coordinator), config_(std::move(config)) {}
  void start() override;

 private:
  Listener& coordinator_;
  std::optional<DialConfig> config_;  // the listener's address
};

// A peer without a reactor, for what no reactor sends. Admitted from the start.
class RawPeer {
 public:
  enum class Port { kControl, kBulk };
  explicit RawPeer(Listener& coordinator, const std::string& routing_id = "", Port port = Port::kControl, int queue_max = 0);
  RawPeer(Listener& coordinator, Port port) : RawPeer(coordinator, "", port) {}
  // Takes hardly anything from its connection unless receive() asks for it.
  static RawPeer deaf(Listener& coordinator, Port port) { return RawPeer(coordinator, "", port, 1); }
  RawPeer(RawPeer&&) noexcept;
  ~RawPeer();
  PeerKey key() const;
  void send(const Bytes& frame);
  Bytes receive() { return receive_within(std::chrono::seconds(20)); }  // empty after that
  Bytes receive_within(Duration patience);

 private:
  struct Socket;
  std::unique_ptr<Socket> socket_;
};

}  // namespace covey::loopback
