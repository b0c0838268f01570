#include <cmath>

#include "tests/sim/tiny_job.h"

using namespace covey;

// The world itself finds a lie that is acknowledged or summed (world_network.cpp, checker.h).
TEST_CASE("liars: a fifth of the clients lies in one way, and the honest train as if alone") {
  TinyCampaign tiny;
  for (std::size_t lie = 0; lie < kLies; ++lie)
    for (std::uint64_t seed = 1; seed <= 6; ++seed) {
      Scenario scenario;
      scenario.seed = seed;
      scenario.faults.liars = {{2, static_cast<Lie>(lie)}, {7, static_cast<Lie>(lie)}};
      scenario.faults.quiet_after = 60s;
      INFO(name_of(static_cast<Lie>(lie)) << ", seed " << seed);
      const auto result = replay(tiny.request, *tiny.populations, scenario);
      REQUIRE_MESSAGE(result.has_value(), (result ? std::string() : result.error().message));
      for (const float value : result->parameters) REQUIRE(std::isfinite(value));
      const std::uint32_t rounds = tiny.request.job.rounds;
      for (const RoundMetrics& metrics : result->detail.metrics) {
        if (metrics.round <= rounds) CHECK(metrics.delivered <= 8);
        if (metrics.round <= rounds) CHECK(metrics.delivered >= 5);
      }
      CHECK(result->detail.metrics.back().evaluation.loss_sum / static_cast<double>(result->detail.metrics.back().evaluation.targets) <
            0.9 * result->detail.metrics.front().evaluation.loss_sum / static_cast<double>(result->detail.metrics.front().evaluation.targets));
    }
}
