// Thousands of real clients in a few processes: the client's own state machine over the client's own
// transport, a CURVE connection each; only the thread and ZeroMQ's context are shared.
#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

#include "bench/load/child.h"
#include "core/protocol/certificate.h"

namespace covey::load {

struct SwarmMember {                     // times as of now_seconds(); 0: not yet
  std::atomic<double> joined{0};         // when it was accepted last
  std::atomic<double> answered{0};       // when its last extra heartbeat was answered
  std::atomic<std::uint32_t> joins{0};
  std::atomic<std::uint32_t> refused{0};
};

class Swarm {
 public:
  // Nodes [first, first + members) of an Estate, dealt to `processes`. They dial when told to.
  Swarm(const CoordinatorAddress& address, std::size_t first, std::size_t members, std::size_t processes);
  ~Swarm();
  Swarm(const Swarm&) = delete;
  Swarm& operator=(const Swarm&) = delete;

  void dial();                                       // all at once
  void ask_all();                                    // each sends a heartbeat beyond its own
  std::size_t joined_since(double moment) const;
  std::size_t answered_since(double moment) const;
  // Until `count` have; the time that took since `moment`, or a negative number after `seconds`.
  double await_joined(double moment, std::size_t count, double seconds) const;
  double await_answered(double moment, std::size_t count, double seconds) const;
  std::size_t size() const { return members_count_; }
  std::vector<double> join_times(double moment) const;  // sorted, seconds after it
  std::vector<Child>& processes() { return processes_; }

 private:
  struct Shared;
  int live(const CoordinatorAddress& address, std::size_t first, std::size_t from, std::size_t to);
  Shared* shared_;
  std::size_t members_count_;
  std::size_t bytes_;
  std::vector<Child> processes_;
};

}  // namespace covey::load
