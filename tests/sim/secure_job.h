// The small job of examples/tiny under secure aggregation, for tests.
#pragma once
#include "tests/sim/tiny_job.h"

namespace covey {

inline JobSpec secure_job() {
  JobSpec job = tiny_job();
  job.privacy.secure_aggregation = true;
  REQUIRE(job.validate().has_value());
  return job;
}

}  // namespace covey
