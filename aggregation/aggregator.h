// Weighted mean of updates and one step of the server's optimizer, 256 KiB of elements at a time
// through all contributions: memory is four chunks, the largest shard and the optimizer's state
// (which blobs are stored whole), whatever the cohort.
#pragma once
#include "core/base/blob_store.h"
#include "core/protocol/machine.h"

namespace covey {

// Contributions are added in the order given, in f64, so that the result is the same bits on
// every machine. Errors: kInvalidUpdate naming the update; kNotFound, kCorrupted from the blobs.
Result<Aggregated> aggregate(const Aggregate& work, BlobStore& blobs);

// Size and finiteness. Errors: kInvalidUpdate with the size expected or the first bad element.
Result<UpdateChecked> check_update(const CheckUpdate& work, BlobStore& blobs);

}  // namespace covey
