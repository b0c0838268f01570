// The least number that the next job may have. Written by a restore, so that no job gets the number of one that was lost
// with the state: what others keep of that one, by its number, is not of the new one.
#pragma once
#include <string_view>
#include <vector>

#include "core/base/batch.h"
#include "core/base/time.h"
#include "core/protocol/message.h"

namespace covey {

inline constexpr std::string_view kJobFloorRow = "jobfloor";

Bytes job_floor_value(JobId floor);
Result<JobId> job_floor_of_value(ByteSpan bytes);  // kCorrupted

// For the rows of a backup taken at `taken` and restored at `now`: 1,000 above their newest job or floor, and one more for
// each second between the two, so that two restores of one backup leave different numbers, too.
// Errors: kCorrupted naming the row.
Result<JobId> job_floor_after(const std::vector<Row>& rows, Instant taken, Instant now);

}  // namespace covey
