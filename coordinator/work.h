// What the coordinator's Executor computes, in production and in the simulator. Not part of the machine.
#pragma once
#include <functional>
#include <optional>
#include <string_view>

#include "core/base/blob_store.h"
#include "core/protocol/machine.h"

namespace covey {

// The value of one durable row, if there is one. Errors: kCorrupted.
using RowReader = std::function<Result<std::optional<Bytes>>(std::string_view key)>;

// InitModel, CheckUpdate, Aggregate, ReadChain (refused without `rows`); anything else is our bug.
Result<WorkValue> coordinator_work(const Work& work, BlobStore& blobs, const RowReader& rows = {});

}  // namespace covey
