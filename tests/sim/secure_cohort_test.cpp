// A thousand real clients and their real cryptography in one process, a tenth of whom drop out.
#include <filesystem>

#include "core/base/random.h"
#include "core/service/text_file.h"
#include "sim/checker.h"
#include "tests/sim/secure_job.h"

using namespace covey;

TEST_CASE("secure simulation: a round of a thousand clients, of whom a hundred die in it, is exact") {
  constexpr std::uint32_t kClients = 1000;
  Random random(1);
  std::string points;
  for (int i = 0; i < 5000; ++i) {
    const double x = 2 * random.uniform() - 1, y = 2 * random.uniform() - 1;
    points += std::to_string(x) + "," + std::to_string(y) + (y > x ? ",yes\n" : ",no\n");
  }
  const std::string path = std::string(COVEY_BINARY_DIR) + "/secure_cohort_points.csv";
  REQUIRE(write_file(path, bytes_of(points)).has_value());

  SimulationRequest request;
  request.job = secure_job();
  request.job.rounds = 1;
  request.job.round.deadline = 300s;
  request.job.selection.min_clients = 900;
  request.job.simulation.clients = kClients;
  Random drops(2);
  std::vector<std::uint32_t> nodes(kClients);
  for (std::uint32_t i = 0; i < kClients; ++i) nodes[i] = i + 1;
  drops.shuffle(std::span(nodes));
  for (std::size_t i = 0; i < kClients / 10; ++i)
    request.faults.crashes.push_back({nodes[i], from_seconds(8 + 100 * drops.uniform()), 1h});
  request.horizon = 4h;
  const auto population = Population::create({request.job, path, kClients, 1});
  std::filesystem::remove(path);
  REQUIRE(population.has_value());
  const auto result = simulate(request, **population);
  REQUIRE_MESSAGE(result.has_value(), (result ? "" : result.error().message));
  CHECK_FALSE(result->stalemate);
  CHECK(result->opened == 2);  // the round and the last evaluation, each held against the plain sum
  CHECK(result->detail.metrics.at(0).delivered >= 900);
  MESSAGE(result->detail.metrics.at(0).delivered, " survivors, ",
          static_cast<double>(result->bytes) / 1e6 / kClients / static_cast<double>(result->opened), " MB a client and round on the network");
}
