#include "sim/campaign.h"

#include <algorithm>

#include "core/base/worker_pool.h"
#include "core/crypto/digest.h"

namespace covey {

Result<const Population*> Populations::of(std::uint32_t clients) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Population>& slot = made_[clients];
  if (!slot) {
    PopulationRequest request = request_;
    request.clients = clients;
    COVEY_TRY(slot, Population::create(data_, request));
  }
  return static_cast<const Population*>(slot.get());
}

Scenario scenario_of_seed(const CampaignRequest& request, std::uint64_t seed, std::uint32_t clients) {
  Scenario scenario;
  scenario.seed = seed;
  scenario.clients = clients;
  scenario.rounds = request.job.rounds;
  scenario.faults = random_faults(clients, request.fault_time, Random(seed).split("faults"));
  if (request.kinds == Kinds::kMixed) mix_jobs(scenario.faults, request.fault_time, Random(seed).split("kinds"));
  return scenario;
}

Result<SimulationResult> replay(const CampaignRequest& request, Populations& populations, const Scenario& scenario,
                                const ReplayOptions& options) {
  SimulationRequest world;
  world.job = request.job;
  world.start = request.start;
  if (scenario.rounds != 0) world.job.rounds = scenario.rounds;
  const std::uint32_t clients = scenario.clients != 0 ? scenario.clients : request.job.simulation.clients;
  if (clients < world.job.selection.min_clients)
    return unexpected(ErrorCode::kInvalidArgument, std::to_string(clients) + " clients, but the job waits for selection.min_clients = " +
                                                       std::to_string(world.job.selection.min_clients));
  COVEY_TRY(const Population* const population, populations.of(clients));
  world.seed = scenario.seed;
  world.faults = scenario.faults;
  world.threads = options.threads;
  world.horizon = scenario.faults.last() + request.calm;
  world.interrupted = request.interrupted;
  world.story_lines = options.story_lines;
  world.on_story = options.on_story;
  world.decorate = request.decorate;
  return simulate(world, *population);
}

Campaign run_campaign(const CampaignRequest& request, Populations& populations, std::uint32_t clients) {
  Campaign campaign;
  std::mutex mutex;
  std::vector<Digest> traces(request.seeds);
  const auto note = [&](std::uint64_t seed, const Scenario& scenario, const Result<SimulationResult>& result) {
    const std::lock_guard lock(mutex);
    if (result && result->interrupted) return;  // neither passed nor failed
    ++campaign.done;
    if (result) {
      campaign.updates += result->acknowledged;
      campaign.events += result->events;
      campaign.opened += result->opened;
      if (result->stalemate) campaign.stalemates.emplace_back(seed, *result->stalemate);
      campaign.jobs += result->jobs;
      campaign.secure_jobs += result->secure_jobs;
      if (result->secure_jobs > 0 && result->secure_jobs < result->jobs) ++campaign.mixed;
      campaign.rounds += result->detail.summary.round;
      campaign.calm_seconds = std::max(campaign.calm_seconds, result->virtual_seconds - seconds(scenario.faults.last()));
      traces[seed - request.first] = result->trace;
    } else {
      campaign.failures.emplace_back(seed, result.error().message);
    }
    if (request.on_progress) request.on_progress(campaign.done, campaign.failures.size());
  };
  {
    WorkerPool pool(request.threads);
    for (std::uint64_t i = 0; i < request.seeds; ++i)
      pool.submit([&, seed = request.first + i] {
        if (request.interrupted && request.interrupted()) return;
        const Scenario scenario = scenario_of_seed(request, seed, clients);
        note(seed, scenario, replay(request, populations, scenario));
      });
    pool.wait_idle();
  }
  std::sort(campaign.failures.begin(), campaign.failures.end());
  std::sort(campaign.stalemates.begin(), campaign.stalemates.end());
  Sha256 all;
  for (const Digest& trace : traces) all.update(trace.span());
  campaign.trace = all.finish();
  return campaign;
}

Shrunk shrink_seed(const CampaignRequest& request, Populations& populations, const Scenario& failing, std::size_t runs_max) {
  const Judgement verdict = [&](const Scenario& scenario) -> std::optional<std::string> {
    const auto result = replay(request, populations, scenario);
    if (result || result.error().code == ErrorCode::kInvalidArgument) return std::nullopt;
    return result.error().message;
  };
  return shrink(failing, verdict, runs_max);
}

}  // namespace covey
