// What the coordinator's Executor computes, in production and in the simulator. Not part of the machine.
#pragma once
#include <atomic>

#include "core/base/blob_store.h"
#include "core/protocol/machine.h"

namespace covey {

// InitModel, CheckUpdate, Aggregate; anything else is our bug.
Result<WorkValue> coordinator_work(const Work& work, BlobStore& blobs);

}  // namespace covey
