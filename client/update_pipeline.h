// What happens to an update between training and the network, in the order the job names.
// Today: finite check -> clip. Later stages (error feedback, compression, ring encoding, noise,
// masks) slot in here.
#pragma once
#include <span>

#include "core/base/bytes.h"
#include "core/protocol/job_spec.h"

namespace covey {

struct PreparedUpdate {
  Bytes bytes;              // what the coordinator fetches: flat f32, little-endian
  double norm_before = 0;   // L2 of the raw update
};
// Errors: kInvalidUpdate naming the first element that is not finite.
Result<PreparedUpdate> prepare_update(const UpdateSpec& spec, std::span<const float> delta);

}  // namespace covey
