// Jobs with frozen parameters in the simulated world: what travels, and that it comes to the same.
#include <cmath>

#include "core/nn/model.h"
#include "tests/sim/adapter_job.h"

using namespace covey;

namespace {

constexpr std::uint32_t kReaders = 6;

struct Readers {
  SimulationRequest request;
  std::unique_ptr<Population> population;
  explicit Readers(JobSpec job) {
    request.job = std::move(job);
    population = readers(request.job, kReaders, 1);
  }
  SimulationResult run() {
    auto result = simulate(request, *population);
    REQUIRE_MESSAGE(result.has_value(), (result ? std::string() : result.error().message));
    CHECK(result->detail.summary.state == JobState::kFinished);
    return std::move(*result);
  }
};

SimulationResult run(const JobSpec& job) { return Readers(job).run(); }

// Bytes of all frames that one more round costs one client: up and down, updates, models and control.
double bytes_of_a_round(JobSpec job) {
  job.rounds = 2;
  const std::uint64_t two = run(job).bytes;
  job.rounds = 6;
  return static_cast<double>(run(job).bytes - two) / 4 / kReaders;
}

}  // namespace

TEST_CASE("exchange: a round of adapters costs about the adapters, up and down, plain and secure") {
  JobSpec job = adapter_job();
  const double whole = 4.0 * static_cast<double>(parameter_table(job.model).size);
  const double trained = 4.0 * static_cast<double>(exchanged_size(job));
  REQUIRE(whole > 400'000);
  REQUIRE(trained == 2048);
  const double plain = bytes_of_a_round(job);
  CHECK(plain >= 2 * trained);
  CHECK(plain < 2 * trained + 8192);  // offers, answers, hashes and the manifest
  job.privacy.secure_aggregation = true;
  const double secure = bytes_of_a_round(job);
  CHECK(secure >= 2 * trained);
  CHECK(secure < 2 * trained + 40'000);  // keys, shares, signatures
  job.update.exchange = Exchange::kAll;
  const double all_secure = bytes_of_a_round(job);
  CHECK(all_secure >= whole);
  job.privacy.secure_aggregation = false;
  const double all_plain = bytes_of_a_round(job);
  CHECK(all_plain >= whole);
  MESSAGE("bytes a round and client: " << plain << " plain, " << secure << " secure; with all parameters in the update "
                                       << all_plain << " and " << all_secure);
}

TEST_CASE("exchange: a client that begins anew has the base still, and fetches no more than the adapters") {
  JobSpec job = adapter_job();
  job.rounds = 6;
  const std::uint64_t base = 4 * (parameter_table(job.model).size - exchanged_size(job));
  const std::uint64_t calm = run(job).bytes;
  CHECK(calm > kReaders * base);  // each has fetched it once
  CHECK(calm < kReaders * (base + 6 * 12'000));
  Readers world(job);
  for (const std::size_t client : {1U, 2U, 3U}) world.request.faults.crashes.push_back({client, from_seconds(1.8 + 0.4 * static_cast<double>(client)), 1s});
  const SimulationResult disturbed = world.run();
  CHECK(disturbed.bytes != calm);
  CHECK(disturbed.bytes < calm + base / 4);
}

TEST_CASE("exchange: the model is bit for bit that of updates of all parameters") {
  for (const char* frozen : {"", "layers.0"}) {
    JobSpec job = adapter_job();
    if (*frozen != 0) {
      job.model.lora = {};
      job.train.frozen = {frozen, "embedding"};
    }
    REQUIRE(job.validate().has_value());
    for (const Durability durability : {Durability::kUpdate, Durability::kAttempt}) {
      job.durability = durability;
      job.update.exchange = Exchange::kTrained;
      const SimulationResult part = run(job);
      for (const RoundMetrics& metrics : part.detail.metrics)
        CHECK(metrics.update_bytes == (metrics.round > job.rounds ? 0 : kReaders * 4 * exchanged_size(job)));
      job.update.exchange = Exchange::kAll;
      const SimulationResult all = run(job);
      CHECK(part.parameters == all.parameters);
      CHECK(part.detail.metrics.back().evaluation.loss_sum < part.detail.metrics.front().evaluation.loss_sum);
    }
  }
}

TEST_CASE("exchange: under secure aggregation every sum of adapters is exact, and the base does not move") {
  JobSpec job = adapter_job();
  job.rounds = 1;  // later ones start from models that differ in their last bits
  const SimulationResult plain = run(job);
  job.privacy.secure_aggregation = true;
  Readers world(job);
  const SimulationResult masked = world.run();
  CHECK(masked.opened == job.rounds + 1);
  world.request.threads = 3;
  const SimulationResult by_three = world.run();
  CHECK(by_three.trace == masked.trace);
  CHECK(by_three.parameters == masked.parameters);
  const std::size_t base = static_cast<std::size_t>(parameter_table(job.model).size - exchanged_size(job));
  REQUIRE(masked.parameters.size() == plain.parameters.size());
  const std::vector<float> initial = initial_parameters(job.model, Random(job.seed).split("model"));
  for (std::size_t i = 0; i < base; ++i) REQUIRE(masked.parameters[i] == initial[i]);
  float moved = 0;
  for (std::size_t i = base; i < initial.size(); ++i) {
    CHECK(std::abs(masked.parameters[i] - plain.parameters[i]) < 1e-4);  // weights are shares of examples_max
    moved = std::max(moved, std::abs(masked.parameters[i] - initial[i]));
  }
  CHECK(moved > 0.01);
}

TEST_CASE("exchange: faults cost a job of adapters no promise, plain, kept as a sum alone, and secure") {
  for (const int kind : {0, 1, 2}) {
    JobSpec job = adapter_job();
    if (kind == 1) job.durability = Durability::kAttempt;
    job.privacy.secure_aggregation = kind == 2;
    for (const std::uint64_t seed : {1, 2, 3, 4, 5, 6}) {
      CAPTURE(kind);
      CAPTURE(seed);
      Readers world(job);
      world.request.seed = seed;
      world.request.faults = random_faults(kReaders, 60s, Random(seed));
      world.request.faults.crashes.push_back({0, from_seconds(0.4 + 0.3 * static_cast<double>(seed)), 2s});
      world.request.horizon = 6h;
      const auto result = simulate(world.request, *world.population);
      REQUIRE_MESSAGE(result.has_value(), (result ? std::string() : result.error().message));
    }
  }
}
