// The small job of examples/tiny and its data, for tests.
#pragma once
#include <doctest/doctest.h>

#include <memory>

#include "core/protocol/limits.h"
#include "core/service/text_file.h"
#include "sim/simulation.h"

namespace covey {

inline JobSpec tiny_job() {
  const auto text = read_file(COVEY_SOURCE_DIR "/examples/tiny/job.toml", kJobTomlBytesMax);
  REQUIRE(text.has_value());
  auto job = parse_job(text_of(*text));
  REQUIRE(job.has_value());
  return *job;
}

inline std::unique_ptr<Population> tiny_population(const JobSpec& job, std::uint32_t clients, std::uint64_t seed) {
  auto population = Population::create({job, COVEY_SOURCE_DIR "/examples/tiny/points.csv", clients, seed});
  REQUIRE(population.has_value());
  return std::move(*population);
}

}  // namespace covey
