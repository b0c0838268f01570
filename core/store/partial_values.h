// What a store of files holds in part, as it lies in its folder (core/store/blobs.h).
#pragma once
#include <string>
#include <vector>

#include "core/base/blob_store.h"

namespace covey {

// In the order of their ids. A record of a transfer that cannot be read is left out: the next announcement of its
// value writes it anew. Errors: kPermissionDenied, kUnavailable naming the folder.
Result<std::vector<BlobRef>> partial_values(const std::string& root);

}  // namespace covey
