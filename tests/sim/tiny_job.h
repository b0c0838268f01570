// The small job of examples/tiny and its data, for tests: with plain updates (secure_job.h: as it is).
#pragma once
#include <doctest/doctest.h>

#include <memory>
#include <thread>

#include "core/protocol/limits.h"
#include "core/service/text_file.h"
#include "sim/campaign.h"

namespace covey {

inline JobSpec tiny_job() {
  const auto text = read_file(COVEY_SOURCE_DIR "/examples/tiny/job.toml", kJobTomlBytesMax);
  REQUIRE(text.has_value());
  auto job = parse_job(text_of(*text));
  REQUIRE(job.has_value());
  job->privacy.secure_aggregation = false;  // each update by itself is what these tests hold the checkers against
  return *job;
}

inline std::unique_ptr<Population> tiny_population(const JobSpec& job, std::uint32_t clients, std::uint64_t seed) {
  auto population = Population::create({job, COVEY_SOURCE_DIR "/examples/tiny/points.csv", clients, seed});
  REQUIRE(population.has_value());
  return std::move(*population);
}

// As `covey-sim faults examples/tiny/job.toml` runs it.
struct TinyCampaign {
  CampaignRequest request;
  std::unique_ptr<Population> population;
  std::unique_ptr<Populations> populations;

  TinyCampaign() {
    request.job = tiny_job();
    request.threads = std::max(1U, std::thread::hardware_concurrency());
    population = tiny_population(request.job, 10, 1);
    populations = std::make_unique<Populations>(PopulationRequest{request.job, "", 10, 1}, *population);
  }
  Campaign run() { return run_campaign(request, *populations, 10); }
  std::string failures(const Campaign& campaign) const {
    std::string text;
    for (const auto& [seed, why] : campaign.failures) text += "seed " + std::to_string(seed) + ": " + why + "\n";
    return text;
  }
};

}  // namespace covey
