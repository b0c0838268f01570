#include "core/tensor/team.h"

#include "core/base/check.h"

namespace covey {
namespace {

// About ten microseconds: longer than the gap between two pieces of a step, far shorter than what a
// scheduler gives another process.
constexpr int kSpins = 2000;

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Until `value` is no longer `old`.
template <class T>
void await_change(const std::atomic<T>& value, T old) {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

Team::Team(int threads) {
  COVEY_CHECK(threads >= 1);
  try {
    for (int member = 1; member < threads; ++member) threads_.emplace_back([this, member] { work(member); });
  } catch (...) {  // those there are wait for ever
    end();
    throw;
  }
}

Team::~Team() { end(); }

void Team::end() {
  stopping_.store(true, std::memory_order_relaxed);
  calls_.fetch_add(1, std::memory_order_release);
  calls_.notify_all();
}

void Team::take_pieces(int member) {
  for (std::int64_t piece = next_.fetch_add(1, std::memory_order_relaxed); piece < pieces_;
       piece = next_.fetch_add(1, std::memory_order_relaxed))
    call_.function(call_.of, piece, member);
}

void Team::run_call(std::int64_t pieces, Call call) {
  if (threads_.empty() || pieces <= 1) {
    for (std::int64_t piece = 0; piece < pieces; ++piece) call.function(call.of, piece, 0);
    return;
  }
  call_ = call;
  pieces_ = pieces;
  next_.store(0, std::memory_order_relaxed);
  busy_.store(static_cast<int>(threads_.size()), std::memory_order_relaxed);
  calls_.fetch_add(1, std::memory_order_release);
  calls_.notify_all();
  take_pieces(0);
  for (int left = busy_.load(std::memory_order_acquire); left != 0; left = busy_.load(std::memory_order_acquire))
    await_change(busy_, left);
}

void Team::work(int member) {
  for (std::uint32_t seen = 0;; ++seen) {
    await_change(calls_, seen);
    if (stopping_.load(std::memory_order_relaxed)) return;
    take_pieces(member);
    if (busy_.fetch_sub(1, std::memory_order_acq_rel) == 1) busy_.notify_one();
  }
}

}  // namespace covey
