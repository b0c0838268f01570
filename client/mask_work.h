// Masks one update: encodes it into the ring, adds the masks, and makes the result a blob. Streams: beside
// the update there are a few MiB of memory, whatever its size.
#pragma once
#include <atomic>

#include "core/base/blob_store.h"
#include "core/base/worker_pool.h"
#include "core/protocol/machine.h"

namespace covey {

struct MaskContext {
  BlobStore& blobs;                              // holds the update; receives the masked vectors
  PeerKey client;                                // for the rounding
  const std::atomic<bool>* cancelled = nullptr;  // may be null; checked between ranges
  WorkerPool* pool = nullptr;                    // null: on the calling thread alone. Not from one of its tasks
};
// The same bits for any number of threads. Errors: kInvalidUpdate where the update is not finite;
// kInvalidMessage where it has another length than the plan's vector; kUnavailable when cancelled; those
// of the blobs.
Result<UpdateMasked> mask_update(const MaskUpdate& work, const MaskContext& context);

// The vectors' words before the masks: what the sum of the survivors must be the sum of.
Result<std::vector<std::vector<std::uint64_t>>> encoded_vectors(const MaskUpdate& work, const MaskContext& context);

}  // namespace covey
