#include "client/eligibility.h"

#include <algorithm>
#include <charconv>

namespace covey {
namespace {

constexpr std::int64_t kHourNanos = 3'600'000'000'000;

// A whole number of at most two digits; nothing otherwise.
std::optional<unsigned> small_number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || text.size() > 2 || error != std::errc{} || end != text.data() + text.size())
    return std::nullopt;
  return value;
}

unsigned utc_hour(Instant now) {
  const std::int64_t hours = unix_nanos(now) / kHourNanos - (unix_nanos(now) % kHourNanos < 0 ? 1 : 0);
  return static_cast<unsigned>(((hours % 24) + 24) % 24);
}

bool within(std::pair<std::uint8_t, std::uint8_t> hours, unsigned hour) {
  const auto [begin, end] = hours;
  return begin < end ? hour >= begin && hour < end : hour >= begin || hour < end;
}

std::optional<Decline> judge_hours(const Policy& policy, Instant now) {
  if (!policy.hours || within(*policy.hours, utc_hour(now))) return std::nullopt;
  return Decline{DeclineReason::kSchedule,
                 "hour " + std::to_string(utc_hour(now)) + " UTC is outside this site's hours " +
                     std::to_string(policy.hours->first) + "-" + std::to_string(policy.hours->second)};
}

}  // namespace

Result<std::pair<std::uint8_t, std::uint8_t>> hours_from(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash != std::string_view::npos) {
    const auto begin = small_number(text.substr(0, dash));
    const auto end = small_number(text.substr(dash + 1));
    if (begin && end && *begin <= 23 && *end <= 24 && *begin != *end)
      return std::pair{static_cast<std::uint8_t>(*begin), static_cast<std::uint8_t>(*end)};
  }
  return unexpected(ErrorCode::kInvalidArgument,
                    "hours \"" + std::string(text.substr(0, 32)) +
                        "\": must be BEGIN-END in whole hours UTC, begin in 0..23, end in 0..24, not "
                        "equal, such as 22-6; leave it out to train at any hour");
}

namespace {

// Whether training fits, one way or another.
std::optional<Decline> judge_training(const Policy& policy, const Capability& capability, const JobSpec& job) {
  TrainLimits limits{.memory_bytes = policy.memory_bytes_max, .bf16 = Bf16Speed::kSlow, .wishes = policy.training};
  if (limits.memory_bytes == 0) limits.memory_bytes = capability.memory_bytes;
  const auto plan = plan_training(job, limits);
  if (plan) return std::nullopt;
  const bool memory = plan.error().code == ErrorCode::kResourceExhausted;
  return Decline{memory ? DeclineReason::kMemory : DeclineReason::kPolicy, plan.error().message};
}

}  // namespace

std::optional<Decline> judge(const Policy& policy, const Capability& capability, const JobSpec& job, Instant now) {
  const auto& allowed = policy.jobs_allowed;
  if (!allowed.empty() && std::find(allowed.begin(), allowed.end(), job.name) == allowed.end())
    return Decline{DeclineReason::kPolicy, "this site does not take part in job \"" + job.name + "\""};
  if (!job.privacy.secure_aggregation && !policy.plain_updates)
    return Decline{DeclineReason::kPolicy,
                   "this site gives no plain updates, which the coordinator sees one by one: set privacy.secure_aggregation = true "
                   "in the job, or have the site's owner allow them with plain-updates = true (covey-client --plain-updates)"};
  if (auto decline = judge_hours(policy, now)) return decline;
  return judge_training(policy, capability, job);
}

}  // namespace covey
