#include "core/service/orphans.h"

namespace covey {

Result<std::size_t> erase_orphans(BlobStore& blobs, const std::set<Digest>& keep) {
  COVEY_TRY(const std::vector<Digest> present, blobs.list());
  std::size_t erased = 0;
  for (const Digest& id : present) {
    if (keep.contains(id)) continue;
    COVEY_TRY_VOID(blobs.erase(id));
    ++erased;
  }
  return erased;
}

}  // namespace covey
