// The threads that one model computes with: the caller and a few that wait for it. A waiting thread
// spins for some microseconds, because the next piece of a step mostly comes at once, and then
// sleeps, so that it does not take a core from another process that needs it.
//
// A team says only who computes which piece. How work is cut into pieces must depend on the sizes
// alone, and sums over pieces must be added in their order: then the number of threads changes no bit.
#pragma once
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace covey {

class Team {  // used by one thread at a time
 public:
  // At least 1, the caller included; a team of 1 starts no thread.
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return static_cast<int>(threads_.size()) + 1; }

  // part(piece, member) for each piece in [0, pieces), by whoever is free; returns when all are done.
  // `member` in [0, size()) says who does it, for memory of its own. A part must not throw, nor run
  // the same team.
  template <class Part>
  void run(std::int64_t pieces, Part part) {
    run_call(pieces, {[](void* of, std::int64_t piece, int member) { (*static_cast<Part*>(of))(piece, member); }, &part});
  }

 private:
  struct Call {  // nothing is allocated to make one
    void (*function)(void* of, std::int64_t piece, int member) = nullptr;
    void* of = nullptr;
  };
  void run_call(std::int64_t pieces, Call call);
  void work(int member);
  void end();
  void take_pieces(int member);

  Call call_;
  std::int64_t pieces_ = 0;
  alignas(64) std::atomic<std::int64_t> next_{0};
  alignas(64) std::atomic<int> busy_{0};            // members that have not finished this call
  alignas(64) std::atomic<std::uint32_t> calls_{0};  // rises with each call, and once at the end
  std::atomic<bool> stopping_{false};
  std::vector<std::jthread> threads_;
};

}  // namespace covey
