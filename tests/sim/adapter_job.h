// A small job that trains adapters of a transformer alone, 512 of 140,096 parameters, on this repository's own
// README, for tests.
#pragma once
#include "core/protocol/exchanged.h"
#include "tests/sim/tiny_job.h"

namespace covey {

inline JobSpec adapter_job() {
  auto job = parse_job(
      "rounds = 3\n[model]\nfamily = \"transformer\"\nlayers = 2\nwidth = 64\nheads = 4\ncontext = 16\n"
      "[model.lora]\nrank = 2\ntargets = [\"*q_proj\"]\n[data]\nformat = \"text\"\nholdout = 0.2\n"
      "[train]\nlocal_steps = 3\nbatch_size = 4\noptimizer = \"adamw\"\nlearning_rate = 0.01\n[selection]\nmin_clients = 4\n[round]\ndeadline_s = 60\n"
      "[privacy]\nsecure_aggregation = false\n");
  REQUIRE_MESSAGE(job.has_value(), (job ? "" : job.error().message));
  return *job;
}

inline std::unique_ptr<Population> readers(const JobSpec& job, std::uint32_t clients, std::uint64_t seed) {
  auto population = Population::create({job, COVEY_SOURCE_DIR "/README.md", clients, seed});
  REQUIRE_MESSAGE(population.has_value(), (population ? "" : population.error().message));
  return std::move(*population);
}

}  // namespace covey
