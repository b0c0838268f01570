// A scenario of the simulator as a TOML file: what a failing seed shrinks to, and what a test replays.
#pragma once
#include <string>
#include <string_view>

#include "sim/fault_plan.h"

namespace covey {

// Everything that a run depends on besides the job and its data.
struct Scenario {
  std::uint64_t seed = 1;
  std::uint32_t clients = 0;   // 0: as many as the job says
  std::uint32_t rounds = 0;    // 0: as the job says
  FaultPlan faults;
  std::string finding;         // what it broke when it was written; for people
  bool operator==(const Scenario&) const = default;
};

inline constexpr std::size_t kPlanBytesMax = 1U << 20;

// Times are seconds, exact to the nanosecond up to 100 days. scenario_from(to_toml(s)) == s.
std::string to_toml(const Scenario& scenario);
// Unknown keys and lists fail, by name. Errors: kInvalidArgument with the line or the key. Whether the
// faults fit the number of clients is validate()'s to say.
Result<Scenario> scenario_from(std::string_view toml);

}  // namespace covey
