// Kills the demonstration's processes at random and starts them again: what the promises about
// crashes look like from outside.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/cli/child_process.h"
#include "core/base/random.h"

namespace covey::cli {

struct Victim {
  std::string name;
  ChildProcess::Request request;  // to start it again
  ChildProcess* process = nullptr;
};

class Chaos {
 public:
  // Every `seconds` on average one victim (the first of them half of the times) gets SIGKILL, and
  // starts again within a second. The victims and `mutex`, which guards them, outlive this.
  Chaos(std::vector<Victim> victims, std::mutex& mutex, double seconds, std::uint64_t seed);
  ~Chaos();  // only after the victims have ended: those that it started do not outlive it
  Chaos(const Chaos&) = delete;
  Chaos& operator=(const Chaos&) = delete;

  // No more kills; everyone runs when it returns. Errors: what could not be started again.
  Result<void> stop();
  // "14 kills: 6 of the coordinator, 3 of client notes"; after stop().
  std::string summary() const;

 private:
  void work(const std::stop_token& ending);
  bool rest(double seconds);  // false: it is over
  void kill_and_start(std::size_t index, double pause);

  std::vector<Victim> victims_;
  std::mutex& mutex_;
  double seconds_;
  Random random_;
  std::map<std::string, std::size_t> kills_;
  Result<void> failure_;
  std::condition_variable_any woken_;
  bool over_ = false;    // guarded by mutex_, as failure_ is
  std::jthread thread_;  // the kernel ends with it what it started, so it waits for the destructor
};

}  // namespace covey::cli
