#include "coordinator/job_floor.h"

#include <algorithm>

#include "coordinator/tables.h"
#include "core/base/wire.h"

namespace covey {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr JobId kLeap = 1000;
constexpr JobId kFloorMax = JobId{1} << 53;

}  // namespace

Bytes job_floor_value(JobId floor) { return ByteWriter().u8(kVersion).u64(floor).take(); }

Result<JobId> job_floor_of_value(ByteSpan bytes) {
  ByteReader in(bytes);
  if (in.u8() != kVersion) in.refuse();
  const JobId floor = in.u64();
  if (floor == 0 || floor > kFloorMax) in.refuse();
  COVEY_TRY_VOID(in.finish("job floor"));
  return floor;
}

Result<JobId> job_floor_after(const std::vector<Row>& rows, Instant taken, Instant now) {
  JobId newest = 0;
  for (const Row& row : rows) {
    if (row.key == kJobFloorRow) {
      const auto floor = job_floor_of_value(row.value);
      if (!floor) return unexpected(in_context("row " + row.key, floor.error()));
      newest = std::max(newest, *floor);
    } else if (row.key.starts_with("job/") && row.key.ends_with("/spec")) {
      const std::vector<std::string_view> parts = key_parts(row.key);
      if (parts.size() != 3) return unexpected(ErrorCode::kCorrupted, "row " + row.key + ": an unknown key");
      COVEY_TRY(const JobId job, number_in_key(parts[1]));
      newest = std::max(newest, job);
    }
  }
  const std::int64_t seconds = std::max<std::int64_t>(0, (unix_nanos(now) - unix_nanos(taken)) / 1'000'000'000);
  if (newest > kFloorMax / 2) return unexpected(ErrorCode::kCorrupted, "job " + std::to_string(newest) + ": the number is out of range");
  return newest + kLeap + static_cast<JobId>(seconds);
}

}  // namespace covey
