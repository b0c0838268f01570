#include "tests/sim/tiny_job.h"

using namespace covey;

TEST_CASE("fault seeds: 1500 worlds of every kind of fault keep every promise") {
  TinyCampaign tiny;
  tiny.request.seeds = 1500;
  const Campaign campaign = tiny.run();
  CHECK_MESSAGE(campaign.failures.empty(), tiny.failures(campaign));
  CHECK(campaign.done == 1500);
  CHECK(campaign.updates >= 1500 * 3 * 4);  // three rounds, a quorum of four: the faults did not stop the training
  CHECK(campaign.calm_seconds < 600);       // liveness: far from the bound at which a world would have failed
}

TEST_CASE("fault seeds: a job that keeps no updates, and one that combines by median, keep every promise too") {
  TinyCampaign attempt;
  attempt.request.seeds = 200;
  attempt.request.job.durability = Durability::kAttempt;
  const Campaign summed = attempt.run();
  CHECK_MESSAGE(summed.failures.empty(), attempt.failures(summed));
  CHECK(summed.done == 200);

  TinyCampaign median;
  median.request.seeds = 200;
  median.request.job.server.combine = CombineKind::kMedian;
  median.request.job.round.quorum = 0.75;
  REQUIRE(median.request.job.validate());
  const Campaign sorted = median.run();
  CHECK_MESSAGE(sorted.failures.empty(), median.failures(sorted));
  CHECK(sorted.done == 200);
}

TEST_CASE("fault seeds: plain jobs and jobs under secure aggregation side by side keep every promise") {
  TinyCampaign mixed;
  mixed.request.kinds = Kinds::kMixed;
  mixed.request.seeds = 120;
  const Campaign both = mixed.run();
  CHECK_MESSAGE(both.failures.empty(), mixed.failures(both));
  CHECK(both.mixed >= 40);
  CHECK(both.secure_jobs >= 50);
  CHECK(both.secure_jobs < both.jobs);
  CHECK(both.opened > 100);
}

TEST_CASE("fault seeds: the same seeds leave the same trace, whatever the threads") {
  TinyCampaign tiny;
  tiny.request.seeds = 40;
  tiny.request.first = 500;
  tiny.request.threads = 1;
  const Campaign one = tiny.run();
  tiny.request.threads = 3;
  const Campaign three = tiny.run();
  CHECK(one.trace == three.trace);
  CHECK(one.events == three.events);
  tiny.request.first = 501;
  CHECK(tiny.run().trace != one.trace);

  for (std::uint64_t seed = 500; seed < 510; ++seed) {
    const Scenario scenario = scenario_of_seed(tiny.request, seed, 10);
    const auto alone = replay(tiny.request, *tiny.populations, scenario);
    const auto helped = replay(tiny.request, *tiny.populations, scenario, {.threads = 4, .story_lines = 0, .on_story = {}});
    REQUIRE((alone && helped));
    CHECK(alone->trace == helped->trace);
    CHECK(alone->parameters == helped->parameters);
  }
}

// A fault plan whose faults do something, or the tests above would prove little.
TEST_CASE("fault seeds: the plans hold every kind of fault") {
  std::map<std::string, std::size_t> seen;
  std::map<Lie, std::size_t> lies;
  std::map<Act, std::size_t> acts;
  for (std::uint64_t seed = 1; seed <= 1000; ++seed) {
    const FaultPlan plan = random_faults(10, 60s, Random(seed).split("faults"));
    REQUIRE(validate(plan, 10));
    for (const Crash& crash : plan.crashes) ++seen[crash.node == 0 ? "coordinator" : "client"];
    seen["write"] += plan.write_crashes.size();
    seen["partition"] += plan.partitions.size();
    seen["lossy"] += plan.network.loss > 0.05 ? 1 : 0;
    for (const DiskFull& full : plan.full_disks) ++seen[full.rows ? "disk" : "disk of blobs"];
    seen["clock"] += plan.clock_jumps.size();
    seen["slow"] += plan.slow_peers.size();
    seen["late"] += plan.late_frames.size();
    for (const Liar& liar : plan.liars) ++lies[liar.lie];
    for (const OperatorAct& act : plan.acts) ++acts[act.act];
  }
  for (const char* kind : {"coordinator", "client", "write", "partition", "lossy", "clock"}) CHECK_MESSAGE(seen[kind] > 400, kind);
  for (const char* kind : {"disk", "disk of blobs", "slow", "late"}) CHECK_MESSAGE(seen[kind] > 100, kind);
  CHECK(lies.size() == kLies);
  for (const auto& [lie, count] : lies) CHECK_MESSAGE(count > 20, name_of(lie));
  for (const Act act : {Act::kSubmit, Act::kStop, Act::kRevoke, Act::kEnrol}) CHECK_MESSAGE(acts[act] > 60, name_of(act));
}
