// The coordinator's work on masked vectors: checking one member's, and opening the sum of all survivors'.
// Constant memory: ranges of the blobs, never a whole one.
#pragma once
#include <functional>

#include "core/base/blob_store.h"
#include "core/base/worker_pool.h"
#include "core/protocol/machine.h"

namespace covey {

// Errors: kInvalidUpdate for another size than the round's vectors have, or bits outside the lanes.
Result<MaskedChecked> check_masked(const CheckMasked& work, BlobStore& blobs);

struct UnmaskParts {
  BlobStore& blobs;
  WorkerPool& pool;            // opens the secrets; the work is no task of it
  std::size_t ranges = 1;      // as in AggregateParts
  std::function<void(std::size_t count, const std::function<void(std::size_t)>& part)> share;
};
// The same bits whatever the number of threads. Where the sum cannot be opened, or is noise, Unmasked::closed says why
// and nothing is released; liars are named either way. Errors: those of the blob store and of the server's step.
Result<Unmasked> unmask(const Unmask& work, const UnmaskParts& parts);

}  // namespace covey
