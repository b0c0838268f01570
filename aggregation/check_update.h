// What every update passes before it counts: size, finiteness, bounds.
#pragma once
#include <functional>
#include <span>

#include "aggregation/fixed_sum.h"
#include "core/base/blob_store.h"
#include "core/protocol/machine.h"

namespace covey {

// Size, finiteness, the bound on every element, the norm. Errors: kInvalidUpdate with the size
// expected, or the first bad element, or the norm; kNotFound and others from the blobs.
Result<UpdateChecked> check_update(const CheckUpdate& work, BlobStore& blobs);

// The same in pieces of 65,536 elements, each given to `visit` once it is in memory, which says what
// it found. For what checks and sums in one pass.
using VisitRange = std::function<Added(std::size_t first, std::span<const float> values)>;
Result<UpdateChecked> check_ranges(const CheckUpdate& work, BlobStore& blobs, const VisitRange& visit);

}  // namespace covey
