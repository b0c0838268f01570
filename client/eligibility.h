// Whether this site takes part in an offered round: the site's policy, which no job can override.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/train_plan.h"
#include "core/base/time.h"
#include "core/protocol/job_spec.h"
#include "core/protocol/message.h"

namespace covey {

struct Policy {
  // Hours of the day, UTC, in which the site trains: [begin, end), may wrap over midnight.
  std::optional<std::pair<std::uint8_t, std::uint8_t>> hours;
  std::uint64_t memory_bytes_max = 0;        // of training this model; 0: the machine's memory
  std::vector<std::string> jobs_allowed;     // job names; empty: any
  TrainWishes training;                      // how this site wants to compute
  bool plain_updates = false;                // also for jobs whose coordinator sees each client's update
  bool operator==(const Policy&) const = default;
};
// "22-6" -> {22, 6}: begin in 0..23, end in 0..24, not equal. Errors: kInvalidArgument naming the
// text and the form.
Result<std::pair<std::uint8_t, std::uint8_t>> hours_from(std::string_view text);

struct Decline {
  DeclineReason reason;
  std::string text;
};
// Nothing: eligible. Asks in the order names, plain updates, hours, memory. Where neither the policy nor the
// capability knows a memory limit (both 0), memory is not asked. What training takes: train_plan.h.
std::optional<Decline> judge(const Policy& policy, const Capability& capability, const JobSpec& job, Instant now);

}  // namespace covey
