// The worlds of `covey-sim faults examples/tiny/job.toml`, for the rows that count on them.
#pragma once
#include <algorithm>
#include <memory>
#include <stdexcept>
#include <thread>

#include "core/protocol/limits.h"
#include "core/service/text_file.h"
#include "sim/campaign.h"

namespace covey::bench {

// What a row cannot go on without.
template <class T>
T must(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(*result);
}

struct TinyWorlds {
  CampaignRequest request;
  std::unique_ptr<Population> population;
  std::unique_ptr<Populations> populations;

  TinyWorlds() {
    const Bytes text = must(read_file(COVEY_SOURCE_DIR "/examples/tiny/job.toml", kJobTomlBytesMax));
    request.job = must(parse_job(text_of(text)));
    request.job.privacy.secure_aggregation = false;  // ten thousand worlds: what is counted is each update
    request.threads = std::max(1U, std::thread::hardware_concurrency());
    const PopulationRequest people{request.job, COVEY_SOURCE_DIR "/examples/tiny/points.csv", request.job.simulation.clients, 1};
    population = must(Population::create(people));
    populations = std::make_unique<Populations>(people, *population);
  }
  std::uint32_t clients() const { return population->clients(); }
  Campaign run() { return run_campaign(request, *populations, clients()); }
};

}  // namespace covey::bench
