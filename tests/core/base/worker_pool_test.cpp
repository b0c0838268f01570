#include "core/base/worker_pool.h"

#include <doctest/doctest.h>

#include <atomic>
#include <latch>
#include <memory>

using namespace covey;

TEST_CASE("worker pool: runs everything once, and wait_idle waits for it") {
  WorkerPool pool(3);
  CHECK(pool.size() == 3);
  std::vector<int> runs(1000);  // each task has its own element
  for (int& run : runs) pool.submit([&run] { ++run; });
  pool.wait_idle();
  for (const int run : runs) CHECK(run == 1);
  pool.wait_idle();  // of an idle pool: returns at once
}

TEST_CASE("worker pool: as many tasks at once as it has threads") {
  WorkerPool pool(4);
  std::latch all_running(4);
  for (int i = 0; i < 4; ++i) pool.submit([&] { all_running.arrive_and_wait(); });
  pool.wait_idle();  // would never return with fewer threads
  CHECK(all_running.try_wait());
}

TEST_CASE("worker pool: one thread keeps the order") {
  WorkerPool pool(1);
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) pool.submit([&order, i] { order.push_back(i); });
  pool.wait_idle();
  REQUIRE(order.size() == 100);
  for (int i = 0; i < 100; ++i) CHECK(order[static_cast<std::size_t>(i)] == i);
}

TEST_CASE("worker pool: a task may submit more, and wait_idle counts them") {
  WorkerPool pool(2);
  std::atomic<int> runs = 0;
  pool.submit([&] {
    for (int i = 0; i < 10; ++i) pool.submit([&] { pool.submit([&] { ++runs; }); });
  });
  pool.wait_idle();
  CHECK(runs == 10);
}

TEST_CASE("worker pool: finishes its queue before it goes, and lets go of what tasks held") {
  std::atomic<int> runs = 0;
  const auto held = std::make_shared<int>(1);
  {
    WorkerPool pool(2);
    for (int i = 0; i < 100; ++i) pool.submit([&runs, held] { runs += *held; });
  }
  CHECK(runs == 100);
  CHECK(held.use_count() == 1);
}

TEST_CASE("worker pool: shared parts are each done once, also when every thread of the pool is sharing") {
  WorkerPool pool(3);
  std::vector<std::atomic<int>> done(1000);
  std::atomic<int> shares = 0;
  for (int task = 0; task < 4; ++task)
    pool.submit([&] {
      pool.share(done.size(), [&](std::size_t i) { ++done[i]; });
      ++shares;
    });
  pool.share(done.size(), [&](std::size_t i) { ++done[i]; });
  pool.wait_idle();
  CHECK(shares == 4);
  for (const auto& count : done) CHECK(count == 5);
  pool.share(0, [](std::size_t) { CHECK(false); });
}

TEST_CASE("worker pool: what a shared part throws reaches who shares it, once all parts are done") {
  WorkerPool pool(3);
  for (int times = 0; times < 50; ++times) {
    std::atomic<int> done = 0;
    const auto part = [&](std::size_t i) {
      ++done;
      if (i % 3 == 1) throw std::bad_alloc();
    };
    CHECK_THROWS_AS(pool.share(20, part), std::bad_alloc);
    CHECK(done == 20);
  }
  pool.share(5, [](std::size_t) {});
}
