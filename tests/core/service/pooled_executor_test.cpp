#include "core/service/pooled_executor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <latch>
#include <map>
#include <mutex>
#include <new>
#include <stdexcept>
#include <vector>

namespace covey {

TEST_CASE("pooled executor: a job with much to do does not hold up the others") {
  MemoryStore store;
  std::latch open(1), ended(22);
  std::mutex mutex;
  std::vector<JobId> order;
  {
    PooledExecutor executor(store, 1, [&](const Work& work, const std::atomic<bool>&) -> Result<WorkValue> {
      open.wait();
      const std::lock_guard lock(mutex);
      order.push_back(std::get<CheckUpdate>(work).job);
      return WorkValue(UpdateChecked{});
    });
    Ticket ticket = 0;
    const auto start = [&](JobId job) {
      CheckUpdate work;
      work.job = job;
      executor.start({++ticket, work}, [&](Event) { ended.count_down(); });
    };
    for (int i = 0; i < 20; ++i) start(1);  // all there before the others' first
    start(2);
    start(3);
    open.count_down();
    ended.wait();
  }
  REQUIRE(order.size() == 22);
  const auto place = [&](JobId job) { return std::find(order.begin(), order.end(), job) - order.begin(); };
  CHECK(place(2) <= 3);
  CHECK(place(3) <= 3);
}

namespace {

class ThrowingStore final : public Store {
 public:
  Result<std::optional<Bytes>> get(std::string_view) override { return std::optional<Bytes>(); }
  Result<void> write(const Batch&) override { throw std::bad_alloc(); }
  Result<std::vector<Row>> scan(std::string_view) override { return std::vector<Row>(); }
};

}  // namespace

TEST_CASE("pooled executor: what is thrown on its threads is failed work, and the next is done") {
  ThrowingStore store;
  std::vector<Event> events;
  std::mutex mutex;
  std::latch ended(5);
  {
    PooledExecutor executor(store, 2, [](const Work& work, const std::atomic<bool>&) -> Result<WorkValue> {
      const JobId job = std::get<CheckUpdate>(work).job;
      if (job == 1) throw std::bad_alloc();
      if (job == 2) throw std::runtime_error("a library is cross");
      if (job == 3) throw 5;
      return WorkValue(UpdateChecked{});
    });
    const auto done = [&](Event event) {
      const std::lock_guard lock(mutex);
      events.push_back(std::move(event));
      ended.count_down();
    };
    for (JobId job = 1; job <= 4; ++job) {
      CheckUpdate work;
      work.job = job;
      executor.start({job, work}, done);
    }
    executor.persist({9, {}}, done);
    ended.wait();
  }
  REQUIRE(events.size() == 5);
  std::map<Ticket, ErrorCode> failed;
  for (const Event& event : events)
    if (const auto* failure = std::get_if<WorkFailed>(&event)) failed[failure->ticket] = failure->error.code;
  CHECK(failed == std::map<Ticket, ErrorCode>{{1, ErrorCode::kResourceExhausted}, {2, ErrorCode::kInternal}, {3, ErrorCode::kInternal}, {9, ErrorCode::kResourceExhausted}});
}

}  // namespace covey
