// Scenarios that once failed, shrunk by `covey-sim faults`, in tests/sim/plans: each must pass.
#include <filesystem>

#include "tests/sim/tiny_job.h"

using namespace covey;

TEST_CASE("plans: what once failed passes now") {
  TinyCampaign tiny;
  std::size_t plans = 0;
  for (const auto& entry : std::filesystem::directory_iterator(COVEY_SOURCE_DIR "/tests/sim/plans")) {
    if (entry.path().extension() != ".toml") continue;
    ++plans;
    INFO(entry.path().string());
    const auto text = read_file(entry.path().string(), kPlanBytesMax);
    REQUIRE(text.has_value());
    const auto scenario = scenario_from(text_of(*text));
    REQUIRE_MESSAGE(scenario.has_value(), (scenario ? std::string() : scenario.error().message));
    CHECK(scenario->faults.size() > 0);
    CHECK_FALSE(scenario->finding.empty());
    const auto result = replay(tiny.request, *tiny.populations, *scenario);
    CHECK_MESSAGE(result.has_value(), (result ? std::string() : result.error().message));
  }
  CHECK(plans >= 2);
}
