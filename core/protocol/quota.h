// [quota]: how much of a federation one job may take. Also what a coordinator allows any job.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace covey {

struct JobSpec;

struct QuotaSpec {
  std::uint32_t nodes_max = 0;         // nodes engaged at once; 0: no bound
  std::uint64_t update_bytes_max = 0;  // of updates on their way or held until their round commits; 0: no bound
  bool operator==(const QuotaSpec&) const = default;
};

inline constexpr std::uint64_t kQuotaBytesMax = std::uint64_t{1} << 50;  // 1 PiB

// "4 GiB", "512 KiB", "100 B": a whole number and a unit, B, KiB, MiB, GiB or TiB.
Result<std::uint64_t> size_from(std::string_view text);
// The largest unit that is exact: size_from(size_text(n)) == n, below 2^64.
std::string size_text(std::uint64_t bytes);

inline constexpr std::uint64_t kSecureFigures = 7;  // words beside a masked update (privacy/ring_encoder.h)
// Bytes of one update of the job's model as it travels: f32, or masked.
std::uint64_t update_bytes_of(const JobSpec& spec);
// How many updates must have room at once for the job to get on: with durability = "update" those that
// selection.min_clients asks for, all kept until the commit; with "attempt" the one that is being added.
std::uint64_t updates_held_min(const JobSpec& spec);

// Refuses a quota under which no round could ever commit, with the least that would do.
Result<void> check_quota(const JobSpec& spec);

}  // namespace covey
