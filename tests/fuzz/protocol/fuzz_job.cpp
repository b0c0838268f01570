// A job file: whatever is accepted means the same after it was written out again.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/base/check.h"
#include "core/protocol/job_fit.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto job = covey::parse_job(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!job) {
    COVEY_CHECK(!job.error().message.empty());
    return 0;
  }
  COVEY_CHECK(covey::parse_job(covey::to_toml(*job)).has_value());  // what is submitted
  const auto again = covey::parse_accepted_job(covey::to_toml(*job));
  COVEY_CHECK(again.has_value());
  COVEY_CHECK(*again == *job);
  COVEY_CHECK(covey::parse_accepted_job(covey::public_toml(*job)).has_value());  // what clients get
  return 0;
}
