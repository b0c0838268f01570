#include "coordinator/cli/demo_chaos.h"

#include <chrono>
#include <utility>

namespace covey::cli {

Chaos::Chaos(std::vector<Victim> victims, std::mutex& mutex, double seconds, std::uint64_t seed)
    : victims_(std::move(victims)),
      mutex_(mutex),
      seconds_(seconds),
      random_(seed),
      thread_([this](const std::stop_token& ending) { work(ending); }) {}

Chaos::~Chaos() { (void)stop(); }

Result<void> Chaos::stop() {
  const std::lock_guard lock(mutex_);  // it starts what it has just killed before it lets go
  over_ = true;
  woken_.notify_all();
  return failure_;
}

std::string Chaos::summary() const {
  std::size_t all = 0;
  std::string text;
  for (const auto& [name, count] : kills_) {
    all += count;
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " of " + name;
  }
  return std::to_string(all) + " kills" + (text.empty() ? "" : ": " + text);
}

bool Chaos::rest(double seconds) {
  std::unique_lock lock(mutex_);
  return !woken_.wait_for(lock, std::chrono::duration<double>(seconds), [this] { return over_; });
}

void Chaos::kill_and_start(std::size_t index, double pause) {
  Victim& victim = victims_[index];
  const std::lock_guard lock(mutex_);
  if (over_ || victim.process->ended()) return;  // an end of its own is for others to judge
  victim.process->kill();
  ++kills_[victim.name];
  std::this_thread::sleep_for(std::chrono::duration<double>(pause));
  auto again = ChildProcess::start(victim.request);
  if (again) {
    *victim.process = std::move(*again);
  } else {
    failure_ = unexpected(again.error());
    over_ = true;
  }
}

void Chaos::work(const std::stop_token& ending) {
  while (rest(seconds_ * (0.5 + random_.uniform()))) {
    const bool first = victims_.size() == 1 || random_.below(2) == 0;
    const std::size_t index = first ? 0 : 1 + static_cast<std::size_t>(random_.below(victims_.size() - 1));
    kill_and_start(index, random_.uniform());
  }
  std::unique_lock lock(mutex_);
  woken_.wait(lock, ending, [] { return false; });
}

}  // namespace covey::cli
