// Blobs that no durable row names: what a crash between a blob and its row leaves behind.
#pragma once
#include <cstddef>
#include <set>

#include "core/base/blob_store.h"

namespace covey {

// Erases every whole value outside `keep`, before a machine starts; gives how many.
Result<std::size_t> erase_orphans(BlobStore& blobs, const std::set<Digest>& keep);

}  // namespace covey
