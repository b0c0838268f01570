#include <mutex>
#include <thread>

#include "core/base/worker_pool.h"
#include "tests/sim/tiny_job.h"

using namespace covey;

TEST_CASE("fault seeds: 200 worlds of loss, duplicates, partitions and crashes keep every promise") {
  const JobSpec job = tiny_job();
  const auto population = tiny_population(job, 10, 1);
  std::mutex mutex;
  std::string failures;
  std::size_t updates = 0;
  {
    WorkerPool pool(std::max(1U, std::thread::hardware_concurrency()));
    for (std::uint64_t seed = 1; seed <= 200; ++seed)
      pool.submit([&, seed] {
        SimulationRequest request;
        request.job = job;
        request.seed = seed;
        request.faults = random_faults(10, 60s, Random(seed).split("faults"));
        const auto result = simulate(request, *population);
        const std::lock_guard lock(mutex);
        if (result) updates += result->acknowledged;
        else failures += "seed " + std::to_string(seed) + ": " + result.error().message + "\n";
      });
    pool.wait_idle();
  }
  CHECK_MESSAGE(failures.empty(), failures);
  CHECK(updates >= 200 * 3 * 5);  // three rounds, a quorum of five: the faults did not stop the training
}

// A fault plan whose faults do something, or the test above would prove little.
TEST_CASE("fault seeds: the plans hold crashes of both roles, partitions and loss") {
  std::size_t coordinators = 0, clients = 0, partitions = 0, lossy = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const FaultPlan plan = random_faults(10, 60s, Random(seed).split("faults"));
    for (const Crash& crash : plan.crashes) (crash.node == 0 ? coordinators : clients) += 1;
    partitions += plan.partitions.size();
    lossy += plan.network.loss > 0.05 ? 1 : 0;
  }
  CHECK(coordinators > 100);
  CHECK(clients > 100);
  CHECK(partitions > 100);
  CHECK(lossy > 80);
}
