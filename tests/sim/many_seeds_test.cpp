#include "tests/sim/tiny_job.h"

using namespace covey;

TEST_CASE("fault seeds: 10,000 worlds keep every promise") {
  TinyCampaign tiny;
  tiny.request.seeds = 10'000;
  const Campaign campaign = tiny.run();
  CHECK_MESSAGE(campaign.failures.empty(), tiny.failures(campaign));
  CHECK(campaign.done == 10'000);
}
