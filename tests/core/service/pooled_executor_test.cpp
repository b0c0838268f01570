#include "core/service/pooled_executor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <latch>
#include <mutex>
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

}  // namespace covey
