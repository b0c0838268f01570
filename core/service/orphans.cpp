#include "core/service/orphans.h"

#include "core/base/fault_point.h"

namespace covey {

Result<std::size_t> erase_orphans(BlobStore& blobs, const std::set<Digest>& keep) {
  COVEY_TRY(const std::vector<Digest> present, blobs.list());
  std::size_t erased = 0;
  for (const Digest& id : present) {
    if (keep.contains(id)) continue;
    fault_point("orphans.found");
    COVEY_TRY_VOID(blobs.erase(id));
    fault_point("orphans.erased");
    ++erased;
  }
  return erased;
}

}  // namespace covey
