#include "aggregation/round_sum.h"

#include <algorithm>
#include <atomic>
#include <optional>

#include "aggregation/check_update.h"
#include "core/base/huge_pages.h"
#include "core/base/thrown.h"

namespace covey {
namespace {

constexpr std::size_t kAddersMax = 1024;  // threads that may be adding at once

std::span<std::uint8_t> bytes_of_values(std::span<float> values) {
  return {reinterpret_cast<std::uint8_t*>(values.data()), values.size_bytes()};
}

}  // namespace

// One update on its way round. Its own thread waits until no turn is left that touches it.
struct RoundSum::Adding {
  Adding(const CheckUpdate& checked, std::int64_t times, BlobStore& from, std::size_t ranges)
      : work(checked), weight(times), blobs(from), squares(ranges), in_sum(ranges) {}
  const CheckUpdate& work;
  std::int64_t weight;
  BlobStore& blobs;
  std::vector<double> squares;       // of each range
  std::vector<std::uint8_t> in_sum;  // 1: the range is; bytes, for threads write to neighbours at once
  std::uint64_t first_turn = 0;
  std::size_t running = 0;           // turns that touch it now
  std::optional<Error> error;        // the first that was met; which of several is a matter of threads
  bool refused = false;              // an element: the update itself is bad
  std::atomic<bool> failed = false;
};

// What a thread needs for its turns, made before the first of them: nothing may fail in between.
struct RoundSum::Hand {
  std::vector<float> buffer;
  std::vector<Adding*> batch;
};

RoundSum::RoundSum(std::size_t parameters, SumScale scale) : scale_(scale) {
  COVEY_CHECK(parameters >= 1);
  sum_.reserve(parameters);
  ask_for_huge_pages(sum_.data(), parameters * sizeof(std::int64_t));  // before any is touched
  sum_.resize(parameters);
}

std::size_t RoundSum::ranges() const { return (sum_.size() + kRangeElements - 1) / kRangeElements; }

std::size_t RoundSum::elements_of(std::size_t range) const {
  return std::min(kRangeElements, sum_.size() - range * kRangeElements);
}

Result<UpdateChecked> RoundSum::add(const CheckUpdate& work, std::int64_t weight, BlobStore& blobs) {
  COVEY_TRY_VOID(check_size(work));
  COVEY_CHECK(work.parameters == sum_.size() && sum_scale(work.limits) == scale_);
  Hand hand{std::vector<float>(std::min(kRangeElements, sum_.size())), {}};
  hand.batch.reserve(kAddersMax);
  Adding mine(work, weight, blobs, ranges());
  {
    std::unique_lock lock(mutex_);
    join(mine);
    while (std::find(adding_.begin(), adding_.end(), &mine) != adding_.end()) take_turn(lock, hand);
    turn_over_.wait(lock, [&] { return mine.running == 0; });
  }
  double squares = 0;
  for (const double one : mine.squares) squares += one;
  auto checked = mine.error ? Result<UpdateChecked>(unexpected(*mine.error)) : check_norm(work, squares);
  if (!checked) take_out(mine, hand.buffer);
  {
    const std::lock_guard lock(mutex_);
    if (checked)
      parts_.push_back({work.update, static_cast<std::uint64_t>(weight)});
    else
      weight_ -= weight;
  }
  // In the words of one that was checked alone, which name its first bad element.
  if (mine.refused)
    if (auto alone = check_update(work, blobs); !alone) return alone;
  return checked;
}

// Under the lock.
void RoundSum::join(Adding& update) {
  COVEY_CHECK(adding_.size() < kAddersMax);
  adding_.reserve(kAddersMax);
  parts_.reserve(parts_.size() + kAddersMax);  // so that nothing can fail once all is added
  COVEY_CHECK(update.weight >= 1 && update.weight <= kWeightMax - weight_);
  weight_ += update.weight;
  if (adding_.empty()) turn_ = 0;
  update.first_turn = turn_;
  adding_.push_back(&update);
}

// The next range, for all who have not been there. The lock is not held meanwhile.
void RoundSum::take_turn(std::unique_lock<std::mutex>& lock, Hand& hand) {
  const auto range = static_cast<std::size_t>(turn_++ % ranges());
  hand.batch.assign(adding_.begin(), adding_.end());
  for (Adding* const update : hand.batch) ++update->running;
  std::erase_if(adding_, [&](const Adding* update) { return turn_ - update->first_turn == ranges(); });
  lock.unlock();
  {
    const auto range_lock = locks_.hold(range);  // one who is slow may be a whole round behind
    for (Adding* const update : hand.batch) add_range(*update, range, hand.buffer);
  }
  lock.lock();
  for (Adding* const update : hand.batch) {
    --update->running;
    if (update->failed) std::erase(adding_, update);
  }
  turn_over_.notify_all();
}

// A thread that cannot even say what went wrong ends the process: the others wait for it.
void RoundSum::add_range(Adding& update, std::size_t range, std::span<float> buffer) noexcept {
  if (update.failed) return;
  const std::size_t first = range * kRangeElements;
  const std::span<float> values = buffer.first(elements_of(range));
  const Result<void> read = caught(
      [&] { return update.blobs.read_written(update.work.update.id, std::uint64_t{first} * sizeof(float), bytes_of_values(values)); });
  if (read) {
    const Added added = add_checked(std::span(sum_).subspan(first, values.size()), values, update.weight, scale_);
    if (!added.refused) {
      update.squares[range] = added.squares;
      update.in_sum[range] = 1;
      return;
    }
  }
  update.failed = true;
  const std::lock_guard lock(mutex_);
  update.refused = read.has_value();
  if (!update.error) update.error = read ? Error{ErrorCode::kInvalidUpdate, "an element is out of bounds"} : read.error();
}

void RoundSum::take_out(const Adding& update, std::span<float> buffer) {
  for (std::size_t range = 0; range < ranges(); ++range) {
    if (update.in_sum[range] == 0) continue;
    const std::size_t first = range * kRangeElements;
    const std::span<float> values = buffer.first(elements_of(range));
    const Result<void> read = caught(
        [&] { return update.blobs.read_written(update.work.update.id, std::uint64_t{first} * sizeof(float), bytes_of_values(values)); });
    if (!read) {
      const std::lock_guard lock(mutex_);
      spoilt_ = true;
      return;
    }
    const auto range_lock = locks_.hold(range);
    subtract(std::span(sum_).subspan(first, values.size()), values, update.weight, scale_);
  }
}

bool RoundSum::holds(std::vector<Contribution> parts) const {
  const auto before = [](const Contribution& a, const Contribution& b) {
    return std::tie(a.update, a.weight) < std::tie(b.update, b.weight);
  };
  const std::lock_guard lock(mutex_);
  std::vector<Contribution> mine = parts_;
  std::sort(mine.begin(), mine.end(), before);
  std::sort(parts.begin(), parts.end(), before);
  return !spoilt_ && mine == parts;
}

std::int64_t RoundSum::weight() const {
  const std::lock_guard lock(mutex_);
  return weight_;
}

}  // namespace covey
