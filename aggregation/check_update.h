// What every update passes before it counts: size, finiteness, bounds.
#pragma once
#include "aggregation/fixed_sum.h"
#include "core/base/blob_store.h"
#include "core/protocol/machine.h"

namespace covey {

// Size, finiteness, the bound on every element, the norm. Errors: kInvalidUpdate with the size
// expected, or the first bad element, or the norm; kNotFound and others from the blobs. An update with
// `work.sum` may still be unfinished, its chunks all written.
Result<UpdateChecked> check_update(const CheckUpdate& work, BlobStore& blobs);

// Its parts, for what reads the elements itself: before the first one, and after the last. `squares` is the
// sum of those of all ranges of kRangeElements, in order: few enough that they and their part of a sum
// stay in a core's cache.
inline constexpr std::size_t kRangeElements = kChunkBytes / sizeof(float) / 4;
Result<void> check_size(const CheckUpdate& work);
Result<UpdateChecked> check_norm(const CheckUpdate& work, double squares);

}  // namespace covey
