// What happens to an update between training and the network, in the order the job names.
// Here: finite check -> clip. Under secure aggregation client/mask_work.h goes on from its result: encode
// into the ring -> mask.
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
