#include "client/eligibility.h"

#include <doctest/doctest.h>

using namespace covey;

namespace {

constexpr Instant kNoon = Instant(std::chrono::hours(12));
const Capability kMachine{"cpu", 4, std::uint64_t{8} << 30, 100};

JobSpec logistic_job() {
  JobSpec job;
  job.name = "census";
  job.model.inputs = 3;
  job.model.classes = 2;
  job.train.batch_size = 4;
  job.privacy.secure_aggregation = false;
  return job;
}

Policy open_site() {  // logistic_job() is plain
  Policy policy;
  policy.plain_updates = true;
  return policy;
}

Instant at_hour(int hour) { return Instant(std::chrono::hours(24 * 365 + hour)); }

}  // namespace

TEST_CASE("eligibility: hours are read, and bad ones refused with the form") {
  CHECK(*hours_from("22-6") == std::pair<std::uint8_t, std::uint8_t>{22, 6});
  CHECK(*hours_from("0-24") == std::pair<std::uint8_t, std::uint8_t>{0, 24});
  for (const char* bad : {"", "-", "7", "7-", "-7", "24-3", "3-25", "6-6", "a-b", "1-2-3", "-1-4", "001-2", " 1-2", "1.5-2"}) {
    CAPTURE(bad);
    const auto hours = hours_from(bad);
    REQUIRE_FALSE(hours.has_value());
    CHECK(hours.error().code == ErrorCode::kInvalidArgument);
    CHECK(hours.error().message.find("22-6") != std::string::npos);
    CHECK(hours.error().message.find(bad) != std::string::npos);
  }
}

TEST_CASE("eligibility: hours wrap over midnight, the end is outside") {
  Policy policy = open_site();
  policy.hours = *hours_from("22-6");
  for (const int hour : {22, 23, 0, 5}) CHECK_FALSE(judge(policy, kMachine, logistic_job(), at_hour(hour)));
  for (const int hour : {6, 12, 21}) {
    const auto decline = judge(policy, kMachine, logistic_job(), at_hour(hour));
    REQUIRE(decline);
    CHECK(decline->reason == DeclineReason::kSchedule);
    CHECK(decline->text.find("hour " + std::to_string(hour)) != std::string::npos);
  }
  policy.hours = *hours_from("9-24");
  CHECK_FALSE(judge(policy, kMachine, logistic_job(), at_hour(23)));
  CHECK(judge(policy, kMachine, logistic_job(), at_hour(0)));
  CHECK(judge(policy, kMachine, logistic_job(), Instant(-1h)).has_value() == false);  // 23:00 of the day before
}

TEST_CASE("eligibility: only the jobs that the site names") {
  Policy policy = open_site();
  policy.jobs_allowed = {"mnist", "census"};
  CHECK_FALSE(judge(policy, kMachine, logistic_job(), kNoon));
  policy.jobs_allowed = {"mnist"};
  const auto decline = judge(policy, kMachine, logistic_job(), kNoon);
  REQUIRE(decline);
  CHECK(decline->reason == DeclineReason::kPolicy);
  CHECK(decline->text.find("census") != std::string::npos);
}

namespace {

// What training takes, an example at a time.
std::uint64_t least_bytes(const JobSpec& job) {
  TrainLimits limits;
  limits.wishes.micro_batch = 1;
  return plan_training(job, limits).value().bytes;
}

}  // namespace

TEST_CASE("eligibility: a site's precision other than the job's is its policy") {
  JobSpec job = logistic_job();
  job.train.precision = Precision::kF32;
  Policy policy = open_site();
  policy.training.precision = Precision::kBf16;
  const auto decline = judge(policy, kMachine, job, kNoon);
  REQUIRE(decline);
  CHECK(decline->reason == DeclineReason::kPolicy);
  CHECK(decline->text.find("train.precision = \"f32\"") != std::string::npos);
  job.train.precision = Precision::kAuto;
  CHECK_FALSE(judge(policy, kMachine, job, kNoon));
}

TEST_CASE("eligibility: memory of the policy, else of the machine, else not asked") {
  const JobSpec job = logistic_job();
  Policy policy = open_site();
  policy.memory_bytes_max = least_bytes(job);
  CHECK_FALSE(judge(policy, kMachine, job, kNoon));
  policy.memory_bytes_max -= 1;
  const auto decline = judge(policy, kMachine, job, kNoon);
  REQUIRE(decline);
  CHECK(decline->reason == DeclineReason::kMemory);
  Capability tiny = kMachine;
  tiny.memory_bytes = 100;
  CHECK(judge(open_site(), tiny, job, kNoon)->reason == DeclineReason::kMemory);
  tiny.memory_bytes = 0;
  CHECK_FALSE(judge(open_site(), tiny, job, kNoon));
}

TEST_CASE("eligibility: plain updates are given only where the site's owner says so") {
  JobSpec job = logistic_job();
  const auto decline = judge({}, kMachine, job, kNoon);
  REQUIRE(decline);
  CHECK(decline->reason == DeclineReason::kPolicy);
  CHECK(decline->text.find("plain-updates = true") != std::string::npos);
  CHECK(decline->text.size() <= 512);
  CHECK_FALSE(judge(open_site(), kMachine, job, kNoon));
  job.privacy.secure_aggregation = true;
  CHECK_FALSE(judge({}, kMachine, job, kNoon));
  CHECK_FALSE(judge(open_site(), kMachine, job, kNoon));
}
