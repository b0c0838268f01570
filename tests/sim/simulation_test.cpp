#include <atomic>

#include "core/base/worker_pool.h"
#include "tests/sim/tiny_job.h"

using namespace covey;

namespace {

SimulationRequest request_of(const JobSpec& job, std::uint64_t seed) {
  SimulationRequest request;
  request.job = job;
  request.seed = seed;
  return request;
}

}  // namespace

TEST_CASE("simulation: trains for real") {
  const JobSpec job = tiny_job();
  const auto population = tiny_population(job, 10, 7);
  const auto result = simulate(request_of(job, 7), *population);
  REQUIRE(result.has_value());
  REQUIRE(result->detail.metrics.size() == 4);
  const EvalStats before = result->detail.metrics.front().evaluation;
  const EvalStats after = result->detail.metrics.back().evaluation;
  CHECK(after.targets == 80);
  CHECK(after.loss_sum < 0.8 * before.loss_sum);
  CHECK(after.correct > before.correct);
}

TEST_CASE("simulation: the same seed gives the same trace and model, whatever the threads") {
  const JobSpec job = tiny_job();
  const auto population = tiny_population(job, 10, 7);
  SimulationRequest request = request_of(job, 7);
  request.faults = random_faults(10, 60s, Random(3));
  const auto first = simulate(request, *population);
  request.threads = 4;
  const auto second = simulate(request, *population);
  REQUIRE((first && second));
  CHECK(first->trace == second->trace);
  CHECK(first->parameters == second->parameters);

  request.seed = 8;
  const auto other = simulate(request, *population);
  REQUIRE(other.has_value());
  CHECK(other->trace != first->trace);
}

TEST_CASE("simulation: trains with each example's gradient clipped, the same model whatever the threads") {
  JobSpec job = tiny_job();
  const auto population = tiny_population(job, 10, 7);
  const auto plain = simulate(request_of(job, 7), *population);
  job.train.per_example_clip = 0.25;
  SimulationRequest request = request_of(job, 7);
  const auto clipped = simulate(request, *population);
  request.threads = 4;
  const auto by_four = simulate(request, *population);
  REQUIRE((plain && clipped && by_four));
  CHECK(clipped->detail.metrics.back().evaluation.loss_sum < 0.95 * clipped->detail.metrics.front().evaluation.loss_sum);
  CHECK(clipped->parameters != plain->parameters);
  CHECK(clipped->parameters == by_four->parameters);
}

TEST_CASE("simulation: 100 clients with loss, duplicates and two crashes complete, same seed, same hash") {
  const JobSpec job = tiny_job();
  const auto population = tiny_population(job, 100, 7);
  SimulationRequest request = request_of(job, 7);
  request.faults.network.loss = 0.05;
  request.faults.network.duplicate = 0.05;
  request.faults.crashes = {{0, 1s, 3s}, {5, 2s, 4s}};
  const auto first = simulate(request, *population);
  REQUIRE_MESSAGE(first.has_value(), (first ? std::string() : first.error().message));
  CHECK(first->detail.summary.round == job.rounds);
  const auto again = simulate(request, *population);
  REQUIRE(again.has_value());
  CHECK(again->trace == first->trace);
}

TEST_CASE("simulation: without its clients a job waits and says so") {
  const JobSpec job = tiny_job();
  const auto population = tiny_population(job, 3, 7);  // min_clients is 4
  SimulationRequest request = request_of(job, 7);
  request.horizon = 10min;
  const auto result = simulate(request, *population);
  REQUIRE_FALSE(result.has_value());
  CHECK(result.error().code == ErrorCode::kUnavailable);
  CHECK(result.error().message.find("did not end") != std::string::npos);
}

TEST_CASE("simulation: every server optimizer learns") {
  for (const auto kind : {ServerOptimizerKind::kFedAvg, ServerOptimizerKind::kFedAvgM, ServerOptimizerKind::kFedAdam,
                          ServerOptimizerKind::kFedYogi}) {
    JobSpec job = tiny_job();
    job.rounds = 8;
    job.server.optimizer = kind;
    if (kind != ServerOptimizerKind::kFedAvg && kind != ServerOptimizerKind::kFedAvgM) job.server.learning_rate = 0.3;
    const auto population = tiny_population(job, 10, 7);
    const auto result = simulate(request_of(job, 7), *population);
    REQUIRE(result.has_value());
    INFO(name_of(kind));
    CHECK(result->detail.metrics.back().evaluation.loss_sum < 0.8 * result->detail.metrics.front().evaluation.loss_sum);
  }
}

TEST_CASE("simulation: updates summed as they come give the model of updates that are kept, on a calm network") {
  JobSpec job = tiny_job();
  const auto population = tiny_population(job, 10, 7);
  const auto kept = simulate(request_of(job, 7), *population);
  job.durability = Durability::kAttempt;
  SimulationRequest request = request_of(job, 7);
  request.threads = 4;
  const auto summed = simulate(request, *population);
  REQUIRE((kept && summed));
  CHECK(kept->parameters == summed->parameters);
}

TEST_CASE("simulation: crashes of a coordinator that keeps no update cost attempts, never a wrong sum") {
  JobSpec job = tiny_job();
  job.durability = Durability::kAttempt;
  const auto population = tiny_population(job, 10, 7);
  for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6}) {
    CAPTURE(seed);
    SimulationRequest request = request_of(job, seed);
    request.faults = random_faults(10, 60s, Random(seed));
    request.faults.crashes.push_back({0, from_seconds(0.4 + 0.3 * static_cast<double>(seed)), 2s});
    const auto first = simulate(request, *population);
    REQUIRE_MESSAGE(first.has_value(), (first ? std::string() : first.error().message));
    request.threads = 4;
    const auto again = simulate(request, *population);
    REQUIRE(again.has_value());
    CHECK(first->trace == again->trace);
    CHECK(first->parameters == again->parameters);
  }
}

TEST_CASE("simulation: what a crash left in part of updates that never come again is gone at the job's end") {
  const JobSpec job = tiny_job();
  const auto population = tiny_population(job, 10, 7);
  for (int tenths = 2; tenths < 30; ++tenths) {
    CAPTURE(tenths);
    SimulationRequest request = request_of(job, 7);
    const Duration when = from_seconds(0.1 * tenths);
    request.faults.crashes.push_back({0, when, 2s});
    for (std::size_t client = 1; client <= 5; ++client) request.faults.crashes.push_back({client, when, 2h});
    const auto result = simulate(request, *population);
    REQUIRE_MESSAGE(result.has_value(), (result ? std::string() : result.error().message));
    CHECK(result->partials_left == 0);
  }
}
