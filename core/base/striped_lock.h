// A few mutexes for many things: two things wait for each other at worst, and none is left unguarded.
#pragma once
#include <array>
#include <cstddef>
#include <mutex>

namespace covey {

class StripedLock {
 public:
  // Held while the guard lives. A thread holds one at a time.
  std::unique_lock<std::mutex> hold(std::size_t thing) { return std::unique_lock(mutexes_[thing % mutexes_.size()]); }

 private:
  std::array<std::mutex, 64> mutexes_;
};

}  // namespace covey
